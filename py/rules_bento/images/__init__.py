"""OCI images: builds layers from wheels and files, assembles images from layers, and reports their contents."""
