"""OCI artifacts of Bentos and models, and the signatures of artifacts."""
