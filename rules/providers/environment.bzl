"""The image of a Bento, as its services ask for it."""

load("//rules/private:checked.bzl", "checked")

_FIELDS = {
    "files": "depset[File] - what its steps read: scripts and wheels, each known by its path from the workspace's root.",
    "image": "File - JSON: base image, distribution, version of Python, and the steps in their order.",
}

BentoEnvironmentInfo, _new_environment_info = provider(
    doc = "An image in BentoML's terms: what `bentoml.images.Image` is in a service's source.",
    fields = _FIELDS,
    init = checked("BentoEnvironmentInfo", _FIELDS),
)
