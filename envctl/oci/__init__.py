"""Images by the OCI specification: blobs named by their digest, made of wheels without daemon, root or network."""

PREFIX = "/opt/env"  # where an environment stands in images and containers; part of its identity there
# raised when the same wheels come to other bytes, bytecode included, which depends even on what its compiler imports
# (envctl/worker/bytecode.py); part of every key, and a label of every image
RULES = 3
