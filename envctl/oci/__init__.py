"""Images by the OCI specification: blobs named by digest, assembled from wheels without daemon, root or network."""
