"""Images by the OCI specification: blobs named by their digest, made of wheels without daemon, root or network."""

PREFIX = "/opt/env"  # where an environment stands in images and containers; part of its identity there
RULES = 2  # raised when the same wheels come to other bytes; part of every key, and a label of every image
BYTECODE_RULES = 3  # raised when envctl/worker/bytecode.py writes other bytes
