"""Images by the OCI specification: blobs named by their digest, made of wheels without daemon, root or network."""
