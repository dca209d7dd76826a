"""envctl: pinned environments and verified conversions for deep-learning inference engines."""

__version__ = "0.1.0"
