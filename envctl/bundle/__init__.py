"""Bundles: a folder with everything that environments need on a machine without network. Written here, read there."""
