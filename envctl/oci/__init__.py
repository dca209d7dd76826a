"""Images by the OCI specification: blobs named by their digest, made of wheels without daemon, root or network."""

PREFIX = "/opt/env"  # where an environment stands in images and containers; part of its identity there
