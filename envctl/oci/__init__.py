"""Images by the OCI specification: blobs named by their digest, assembled from wheels without daemon, root or network."""
