"""Images of Bentos by the builders that BentoML knows: docker, buildx, podman, buildah, nerdctl and buildctl."""
