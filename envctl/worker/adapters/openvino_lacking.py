"""What OpenVINO's front end lacks for a model: every node that it leaves unconverted, and its reasons.

`read_model` names types of operators alone. `convert_partially` goes on past them and leaves a node of the framework in
each place, under its name; of TensorFlow's it does not tell the type, which the host knows from the file.
https://docs.openvino.ai/2024/api/ie_python_api/_autosummary/openvino.frontend.FrontEnd.html
"""

import re

from failure import StepFailed, lacks

# the front ends' words for what they have no rule for: TensorFlow's up to 2025, ONNX's up to 2025, both from 2026 on
NO_RULE = re.compile(
    r"(?:no translator found for operation\(s\):|not support the following ONNX operations:"
    r"|No conversion rule found for operations:) *([^\n]+)"
)
# a rule that refused one node: `node 'VarHandleOp':`, `ONNX node '<Node(Resize): /up/Resize>':`
REFUSED = re.compile(
    r"While validating (?:ONNX )?node '(?:<Node\((\w*)\): )?([^'\n]*?)>?':\n+(.+?)(?=\n\n|\nCheck |\nSummary|\Z)", re.S
)
# 2026 writes Det-17, and util::SequenceErase of what it could not make tensors of
VERSION, HELPER = re.compile(r"-\d+$"), "util::"
NOTHING = "the front end has no conversion rule"
alive = {}
BODIES = 2  # of an If; a Loop has one


def refusal(source, text):
    """The failure that names everything; None where the front end says nothing of operators."""
    rules, reasons = without_rule(text), REFUSED.findall(text)
    if not rules and not reasons:
        return None
    said = {key: " ".join(why.split()) for op, node, why in reasons for key in (op, node) if key}
    found = [named(node, rules, said) for node in unconverted(source)]
    told = [lacks(op, domain=domain, why=NOTHING) for domain, op in sorted(rules)]
    told += [lacks(op or node, node if op else "", why) for op, node, why in reasons]
    return StepFailed("unsupported", text, found + told)


def without_rule(text):
    """(domain, operator) of everything that there is no rule for."""
    names = [name.strip() for group in NO_RULE.findall(text) for name in group.split(",")]
    return {VERSION.sub("", name).replace(HELPER, "").rpartition(".")[::2] for name in names if name}


def named(node, rules, said):
    """An unconverted node with its type, where it bears it, and the reason, where it is known by now."""
    attributes, name = node.get_attributes(), node.get_friendly_name()
    op, domain = attributes.get("ONNX_META_type", ""), attributes.get("ONNX_META_domain", "")
    why = NOTHING if (domain, op) in rules else said.get(name) or said.get(op, "")
    return lacks(op, name, why, domain)


def unconverted(source):
    """The nodes that are left of the framework's after a conversion that goes on past what it lacks."""
    from openvino.frontend import FrontEndManager

    try:
        # 2026 dies of a front end whose manager is gone: all of these stay for as long as the nodes
        manager = alive.setdefault("manager", FrontEndManager())
        alive["front"] = front = manager.load_by_model(source)
        alive["read"] = read = front.load(source)
        alive["model"] = model = front.convert_partially(read)
        return left_over(model)
    except Exception as error:
        print("it cannot be converted partially: %s" % error, flush=True)
        return []


def left_over(model):
    """The framework's own nodes in a model, those in the bodies of its branches and loops too."""
    found = []
    for node in model.get_ops():
        kind = node.get_type_name()
        if kind.endswith("FrameworkNode") or kind == "NotSupportedONNXNode":
            found.append(node)
        for body in bodies(node):
            found += left_over(body)
    return found


def bodies(node):
    """The graphs inside a node."""
    found = []
    for index in range(BODIES if hasattr(node, "get_function") else 0):
        try:
            found.append(node.get_function(index))
        except (RuntimeError, IndexError):  # there are no more
            break
    return found


def refuse_left_over(model):
    """Raise for nodes of the framework in a model that was read: 2023 looks for them in the outermost graph alone."""
    nodes = left_over(model)
    if nodes:
        found = [named(node, set(), {}) for node in nodes]
        told = ", ".join("%s (%s)" % (each["op"], each["node"]) for each in found)
        told = "OpenVINO read it and left unconverted: " + told
        raise StepFailed("unsupported", told, [dict(each, why=NOTHING) for each in found])
