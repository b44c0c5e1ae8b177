"""Builds images of Bentos with docker, buildx, podman, buildah, nerdctl, or buildctl, as BentoML does."""
