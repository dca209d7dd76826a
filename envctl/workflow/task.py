"""What can be said of a task before anything is made: can it be done, will it be compared, and with what."""

from __future__ import annotations

from envctl import routes
from envctl.errors import BadInput, HostLacks, Reason
from envctl.host import HostFacts
from envctl.model import ModelFacts
from envctl.spec import ImageSpec
from envctl.workflow import dataset, deliver, shapes, typed
from envctl.workflow.ask import Ask
from envctl.workflow.ends import check_ends
from envctl.workflow.plan import spec_of
from envctl.workflow.route import passing
from envctl.workflow.source import read_source


def check_target(ask: Ask, facts: ModelFacts) -> None:
    """Raise before anything is made when the answer could not be delivered."""
    spec = spec_of(ask)
    if not spec.adapter:
        do = ["its environment can be locked (envctl lock) and used by a command of yours (envctl run … -- COMMAND)"]
        raise BadInput(f"envctl cannot convert or run models with {spec.title} yet", do=do)
    way = routes.find(facts.format, spec.every_format(), to=passing(ask))
    if way is None and (ask.layout or ask.opset or (ask.via and facts.format == "onnx")):
        do = ["write the model anew from its framework, or leave --layout, --opset and --via out"]
        raise BadInput(f"{facts.path.name} goes to {spec.title} as it is: nothing is written on the way", do=do)
    if ask.task == "convert" and not spec.converts and way is None:
        do = [f"compare it with the reference: envctl run --{spec.option} … verify {facts.path.name}"]
        raise BadInput(f"{spec.title} runs {facts.format} models as they are: there is nothing to convert", do=do)
    check_ends(spec, facts)
    dataset.check(ask, facts)
    if ask.task == "infer" and spec.ahead_of_time:
        do = ["convert it here (ahead of time), run it where the GPU is"]
        raise HostLacks(f"this version of envctl builds engines of {spec.title} and does not execute them", do=do)
    if ask.task == "convert":
        deliver.check_folder(ask, facts, spec)
    if ask.task == "infer" and ask.output:
        deliver.check_file(ask.output)
    shapes.check(ask, facts)
    typed.check(ask, facts, spec, way)


def check_host(ask: Ask, host: HostFacts) -> None:
    """Raise when the task is to execute the engine and this host cannot."""
    spec = spec_of(ask)
    if spec.ahead_of_time or executes(spec, host) or ask.task not in ("infer", "verify"):
        return
    because = [Reason(text=f"{name} is {host.value(name) or 'none'}", source="this host") for name in ("driver", "gpu")]
    do = ["envctl doctor says what keeps the GPU away", "convert it here, and verify it where the GPU is"]
    raise HostLacks(f"{spec.title} runs on an NVIDIA GPU, and none can be used here", because=because, do=do)


def executes(spec: ImageSpec, host: HostFacts) -> bool:
    """Whether envctl can execute what this engine makes, here."""
    return not spec.ahead_of_time and (spec.runs_on == "cpu" or bool(host.value("driver") and host.value("gpu")))


def will_compare(ask: Ask, host: HostFacts) -> bool:
    """Whether target and reference will both be executed and compared."""
    can = executes(spec_of(ask), host)
    return can and (ask.task == "verify" or (ask.task == "convert" and ask.verify))


def reference_for(ask: Ask, facts: ModelFacts) -> ModelFacts:
    """The model that says what is right: MODEL itself, or --reference; raises when that takes other inputs."""
    if ask.reference_model is None:
        return facts
    found = read_source(ask.reference_model)
    if {tensor.name for tensor in found.inputs} != {tensor.name for tensor in facts.inputs}:
        because = [Reason(text="; ".join(map(str, each.inputs)), source=each.path.name) for each in (facts, found)]
        do = ["give two models with the same inputs: both are run on the same numbers"]
        raise BadInput(f"--reference {found.path} has other inputs than the model", because=because, do=do)
    return found
