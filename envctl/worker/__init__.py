"""The part of envctl that travels into environments: run there as a script, imported by nobody.

Everything below runs under the environment's own Python (CPython 3.8 and up) with numpy and the engine alone.
"""
