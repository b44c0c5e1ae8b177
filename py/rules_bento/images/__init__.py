"""Builds layers from wheels and files, assembles OCI images from layers, and reports the contents of images."""
