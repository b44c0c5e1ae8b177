"""Writes the Kubernetes manifest of an image."""

from __future__ import annotations

from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.formats import read_file
from rules_bento.formats.json import read_object
from rules_bento.formats.yaml import read_mapping
from rules_bento.kubernetes.manifests import DeploymentOptions, dump, manifests
from rules_bento.kubernetes.workloads import Workload, read_workload
from rules_bento.registry.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--app-name": 1,
    "--config-map": 2,
    "--digest": 1,
    "--env": 2,
    "--image": 2,  # config, bento.yaml; one for each platform of an index
    "--label": 2,
    "--namespace": 1,
    "--output": 1,
    "--port": 1,
    "--pull-secret": 1,
    "--read-only-root-filesystem": 1,  # 1 or 0
    "--replicas": 2,
    "--repository": 1,
    "--secret": 2,
    "--startup-timeout-seconds": 1,
    "--target": 1,
    "--writable": 1,
}


def run(arguments: Arguments) -> None:
    """Write the manifest."""
    options = DeploymentOptions(
        image=_image(arguments),
        name=arguments.required("--app-name"),
        namespace=arguments.required("--namespace"),
        replicas=arguments.pairs("--replicas"),
        labels=arguments.pairs("--label"),
        env=arguments.pairs("--env"),
        secrets=arguments.pairs("--secret"),
        config_maps=arguments.pairs("--config-map"),
        pull_secrets=tuple(arguments.repeated("--pull-secret")),
        read_only=arguments.required("--read-only-root-filesystem") == "1",
        writable=tuple(arguments.repeated("--writable")),
        start_seconds=int(arguments.required("--startup-timeout-seconds")),
    )
    Path(arguments.required("--output")).write_text(dump(manifests(_workload(arguments), options)), "utf-8")


def _image(arguments: Arguments) -> str:
    repository = Reference.parse(arguments.required("--repository"))
    if repository.tag or repository.digest:
        raise BentoError(
            f"repository: {repository} has a tag or a digest. Leave it out: the manifest names the image by the digest "
            "that was built."
        )
    return str(repository.with_digest(Path(arguments.required("--digest")).read_text("utf-8").strip()))


def _workload(arguments: Arguments) -> Workload:
    """Return what all images of an index are. Raises BentoError where they differ in what a manifest says."""
    workloads = [
        read_workload(
            read_mapping(read_file(bento_yaml), bento_yaml),
            read_object(read_file(config), "the image's config"),
            int(arguments.required("--port")),
        )
        for config, bento_yaml in arguments.tuples("--image")
    ]
    first, *others = workloads
    for other in others:
        if (other.services, other.required, other.image) != (first.services, first.required, first.image):
            raise BentoError("the images of the index start differently. Write a bento_deployment for each.")
    return first
