"""Construction of image layers and OCI images, and reports about the contents of images."""
