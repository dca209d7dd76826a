"""The scripts of the jobs, for any shell with -e. They read variables, so that nothing is pasted into them."""

from __future__ import annotations

from dataclasses import dataclass

FOLDER = ".envctl-ci"
CACHED = (f"{FOLDER}/cache/environments", f"{FOLDER}/cache/locks", f"{FOLDER}/pythons")


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A name and a script."""

    name: str
    script: str


SAME_LOCK = Step(
    name="This file was written for this lock",
    script="""\
if ! printf '%s  %s\\n' "$LOCK_SHA256" "$LOCK" | sha256sum --check --strict --quiet; then
  echo "$LOCK is not the lock that this job was written for: run the command at the top of this file again" >&2
  exit 1
fi
""",
)
INSTALL = Step(
    name="Install envctl, every package by its hash",
    script="""\
python3 -m venv "$FOLDER/tools"
"$FOLDER/tools/bin/python" -m pip install --quiet --disable-pip-version-check \\
  --require-hashes --only-binary :all: --requirement "$REQUIREMENTS"
""",
)
DRIFT = Step(
    name="Nothing that this lock rests on has changed",
    script="""\
"$FOLDER/tools/bin/envctl" lock --check -o "$LOCK"
""",
)
PYTHON = Step(
    name="The lock's CPython",
    script="""\
if ! "$FOLDER/tools/bin/uv" python find --system "$PYTHON" >/dev/null 2>&1; then
  "$FOLDER/tools/bin/uv" python install --no-bin "$PYTHON"
fi
""",
)
LOGIN = Step(
    name="Log in to the image's registry",
    script="""\
printf '%s' "$REGISTRY_PASSWORD" | docker login --username "$REGISTRY_USER" --password-stdin ${REGISTRY:+"$REGISTRY"}
""",
)
PULL = Step(
    name="Pull the image by its digest",
    script="""\
docker pull --quiet "$IMAGE"
""",
)
SAME_IMAGE = Step(
    name="The image is the one that the lock describes",
    script="""\
"$FOLDER/tools/bin/envctl" verify-image "docker-daemon:$IMAGE" --lock "$LOCK" ${TARGET:+--target "$TARGET"}
""",
)
VERIFY = Step(
    name="Verify the model",
    script="""\
"$FOLDER/tools/bin/envctl" run --lock "$LOCK" ${TARGET:+--target "$TARGET"} --runner "$RUNNER" verify "$MODEL"
""",
)


def check_steps() -> tuple[Step, ...]:
    """What the check of one lock does."""
    return SAME_LOCK, INSTALL, DRIFT


def verify_steps(*, image: bool, login: bool) -> tuple[Step, ...]:
    """What a target's job does; an image is pulled, and compared with the lock, before anything runs in it."""
    pull = ((LOGIN,) if login else ()) + (PULL,) if image else ()
    same = (SAME_IMAGE,) if image else ()
    return SAME_LOCK, *pull, INSTALL, PYTHON, *same, VERIFY
