"""Images by the OCI specification: blobs named by their digest, assembled without daemon, root or network."""
