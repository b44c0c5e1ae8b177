"""OCI images: wheels and files to layers, layers to images, and what is in them."""
