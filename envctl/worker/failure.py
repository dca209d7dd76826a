"""Failures that a worker foresees. `kind` is one of the statuses of the job protocol (envctl/job.py)."""

OUT_OF_MEMORY_WORDS = (
    "bad_alloc",
    "cannot allocate memory",
    "out of memory",
    "bad allocation",
    "failed to allocate",
    "can't alloc",  # OpenVINO's CPU plugin
    "could not allocate",  # protobuf, on bytes
)


class StepFailed(Exception):
    """A step that cannot be done, and why. `lacking` are the operators that it cannot be done for, in the engine's own
    words, each a dictionary as `lacks` makes it."""

    def __init__(self, kind, message, lacking=()):
        super().__init__(message)
        self.kind = kind
        self.lacking = list(lacking)


def lacks(op="", node="", why="", domain="", attribute="", layer=""):
    """One operator that an engine lacks, as far as the engine tells: of what it leaves out, the host asks the file."""
    said = {"op": op, "domain": domain, "node": node, "attribute": attribute, "layer": layer}
    return dict(said, why=" ".join(why.split()))


def kind_of(error):
    """The status that stands for an exception nobody translated."""
    if isinstance(error, StepFailed):
        return error.kind
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in OUT_OF_MEMORY_WORDS):
        return "out-of-memory"
    if isinstance(error, OSError) and error.errno in (28, 122):  # ENOSPC, EDQUOT
        return "disk-full"
    if isinstance(error, ImportError):
        return "engine-missing"
    return "engine-error"
