"""Writes manifests that run the services of an image in a Kubernetes cluster."""
