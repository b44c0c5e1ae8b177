"""What runs the services of an image in a Kubernetes cluster, as manifests."""
