"""Assembles images, their files, and their Kubernetes manifests."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.arguments import Arguments, Subcommand
from rules_bento.errors import BentoError
from rules_bento.formats import read_file
from rules_bento.formats.json import read_object
from rules_bento.formats.oci import ANNOTATION, digest_of
from rules_bento.images import oci_image
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.kubernetes.workloads import Workload


@Subcommand(
    {
        "--annotation": 2,
        "--base-config": 1,
        "--bento": 1,  # folder of the Bento in the image
        "--bento-yaml": 1,
        "--cmd": 1,
        "--compression": 1,  # of all layers, those of the base among them
        "--config": 1,
        "--created": 1,
        "--digest": 1,
        "--entrypoint": 1,
        "--env": 2,
        "--environment": 1,  # folder of the virtual environment in the image
        "--healthcheck": 1,  # a word of the command
        "--home": 1,
        "--label": 2,
        "--layer": 1,
        "--manifest": 1,
        "--port": 1,
        "--provided": 1,  # a command that the image does without
        "--stamped-annotation": 2,  # with {KEY} for values of the workspace status
        "--stamped-label": 2,
        "--status": 1,  # Bazel's workspace status
        "--startup-trace": 1,
        "--stop-signal": 1,
        "--target": 1,
        "--user": 1,
        "--working-dir": 1,
    }
)
def image(arguments: Arguments) -> None:
    """Write config, manifest and digest."""
    layers = [oci_image.Layer.loads(Path(path).read_text("utf-8")) for path in arguments.repeated("--layer")]
    if len(layers) > oci_image.MAX_LAYERS:
        raise BentoError(
            f"layers: the image has {len(layers)} layers, but runtimes take at most {oci_image.MAX_LAYERS}. "
            f"Set max_wheel_layers of the image, or image_layers of its models, to less, or give fewer layers."
        )
    compression = arguments.optional("--compression")
    if compression == "gzip":
        _require_gzip(layers)
    elif compression == "estargz":
        _require_estargz(layers)
    if trace := arguments.optional("--startup-trace"):
        _require_prefetched(layers, trace)
    base = read_object(read_file(arguments.required("--base-config")), "the base's config")
    image = oci_image.make_image(layers, _image_config(arguments, base, _read_bento_yaml(arguments)))
    Path(arguments.required("--config")).write_bytes(image.config)
    Path(arguments.required("--manifest")).write_bytes(image.manifest)
    Path(arguments.required("--digest")).write_text(f"{image.digest}\n", "utf-8")


def _require_gzip(layers: list[oci_image.Layer]) -> None:
    """Raise BentoError for a layer of zstd: who asks for gzip has a runtime that does not know it."""
    others = [layer.name for layer in layers if layer.media_type.endswith("+zstd")]
    if others:
        raise BentoError(
            f'compression: the image is to be of gzip, but of zstd are: {", ".join(others)}. Set compression = "gzip" '
            "on the bento_deb_layer of the base and of layers too; of an image of others, take a copy with layers of "
            "gzip (skopeo copy --dest-compress-format gzip)."
        )


def _require_estargz(layers: list[oci_image.Layer]) -> None:
    """Raise BentoError for another layer below one of eStargz: from there on, containerd pulls all layers whole."""
    from rules_bento.images.layers import estargz

    is_lazy = [estargz.TOC_DIGEST in (layer.annotations or {}) for layer in layers]
    last = max((number for number, lazy in enumerate(is_lazy) if lazy), default=0)
    others = [layer.name for layer, lazy in zip(layers[:last], is_lazy, strict=False) if not lazy]
    if others:
        raise BentoError(
            "compression: containerd pulls a layer that is not of eStargz whole, and all layers above it, so nothing "
            f'there would be read lazily. Such are: {", ".join(others)}. Set compression = "estargz" on the '
            "bento_deb_layer of the base, and on bento_layer (of srcs, for a tar stays what it is); of an image of "
            "others, take a copy with layers of eStargz (nerdctl image convert --estargz --oci), or leave estargz out."
        )


def _require_prefetched(layers: list[oci_image.Layer], trace: str) -> None:
    """Raise BentoError for a trace of another image, whose files none of the layers has."""
    if not any(layer.prefetched for layer in layers):
        raise BentoError(
            f"startup_trace: no layer that could be put in order has a file that {trace} names. Record it of this "
            "image, by its bento_startup_trace."
        )


def _read_bento_yaml(arguments: Arguments) -> dict[str, Any]:
    from rules_bento.formats.yaml import read_mapping
    from rules_bento.images.image_commands import reject_commands

    path = arguments.required("--bento-yaml")
    document = read_mapping(read_file(path), path)
    reject_commands(document, arguments.json_strings("--provided"))
    return document


def _image_config(arguments: Arguments, base: dict[str, Any], bento: dict[str, Any]) -> oci_image.ImageConfig:
    from rules_bento.workspace_status import all_filled, read_status

    folder = arguments.required("--bento")
    status = read_status(Path(path) for path in arguments.repeated("--status"))
    annotations = _image_annotations(arguments, base, bento) | arguments.pairs("--annotation")
    annotations |= all_filled(arguments.pairs("--stamped-annotation"), status, "stamped_annotations")
    labels = bento["labels"] | arguments.pairs("--label")
    labels |= all_filled(arguments.pairs("--stamped-label"), status, "stamped_labels")
    python = arguments.required("--environment") + "/bin/python"
    return oci_image.ImageConfig(
        architecture=base["architecture"],
        os=base["os"],
        created=arguments.required("--created"),
        env=_image_env(arguments, base, bento),
        entrypoint=arguments.repeated("--entrypoint") or [python, "-m", "bentoml", "serve", folder],
        cmd=arguments.repeated("--cmd"),
        user=arguments.required("--user"),
        working_dir=arguments.optional("--working-dir", folder),
        ports=arguments.repeated("--port"),
        labels=_oci_annotations(annotations) | labels,
        annotations=_oci_annotations(labels) | annotations,
        stop_signal=arguments.required("--stop-signal"),
        healthcheck=arguments.repeated("--healthcheck"),
    )


def _oci_annotations(texts: dict[str, str]) -> dict[str, str]:
    """Return those that OCI defines: what reads labels and what reads annotations are to see the same."""
    return {key: value for key, value in texts.items() if key.startswith(ANNOTATION)}


def _image_env(arguments: Arguments, base: dict[str, Any], bento: dict[str, Any]) -> dict[str, str]:
    """Return the variables of BentoML's own image, around those of the base, the Bento and the target.

    Of the Bento, those of the stages `all` and `runtime` that have a value: one without is for the caller of a
    container to give, and one of the stage `build` is a secret of builds.
    """
    environment = arguments.required("--environment")
    inherited = dict(base.get("env", {}))
    path = inherited.pop("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    own = {
        "PATH": f"{environment}/bin:{path}",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONIOENCODING": "UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "VIRTUAL_ENV": environment,
        "BENTO_PATH": arguments.required("--bento"),
        "BENTOML_HOME": arguments.required("--home") + "/",
        "BENTOML_CONTAINERIZED": "true",
    }
    stated = {env["name"]: str(env["value"]) for env in bento["envs"] if env["value"] != "" and env["stage"] != "build"}
    return inherited | own | stated | arguments.pairs("--env")


def _image_annotations(arguments: Arguments, base: dict[str, Any], bento: dict[str, Any]) -> dict[str, str]:
    standard = {
        "base.digest": base.get("digest", ""),
        "base.name": base.get("origin", ""),
        "created": arguments.required("--created"),
        "title": bento["name"],
        "version": bento["version"],
    }
    return {f"{ANNOTATION}{key}": value for key, value in standard.items() if value}


@Subcommand(
    {
        "--config": 1,
        "--elsewhere": 2,  # description of a layer that is not here, repository that has it
        "--form": 1,  # oci-layout or docker-archive
        "--layer": 2,  # description, blob
        "--manifest": 1,
        "--output": 1,
        "--reference": 1,
        "--target": 1,
    }
)
def image_files(arguments: Arguments) -> None:
    """Copy the layers and write what names them."""
    from rules_bento.images import oci_layout

    for description, origin in arguments.tuples("--elsewhere"):
        layer = oci_image.Layer.loads(Path(description).read_text("utf-8"))
        raise BentoError(
            f"{layer.name} ({layer.size / 1e6:.1f} MB) is in {origin} and was not fetched: a push does not need it. "
            f"To have it here, build with --@rules_bento//rules:base_layers=fetched."
        )
    image = oci_image.Image(
        Path(arguments.required("--config")).read_bytes(), Path(arguments.required("--manifest")).read_bytes()
    )
    blobs = {
        oci_image.Layer.loads(Path(description).read_text("utf-8")).digest: Path(blob)
        for description, blob in arguments.tuples("--layer")
    }
    is_layout = arguments.required("--form") == "oci-layout"
    write = oci_layout.write_layout if is_layout else oci_layout.write_docker_archive
    write(Path(arguments.required("--output")), image, blobs, arguments.required("--reference"))


@Subcommand(
    {
        "--annotation": 2,
        "--digest": 1,
        "--image": 2,  # config, manifest
        "--index": 1,
        "--stamped-annotation": 2,  # with {KEY} for values of the workspace status
        "--status": 1,
        "--target": 1,
    }
)
def image_index(arguments: Arguments) -> None:
    """Write index and digest."""
    from rules_bento.workspace_status import all_filled, read_status

    images: dict[str, tuple[bytes, dict[str, str]]] = {}
    for config_path, manifest_path in arguments.tuples("--image"):
        config = json.loads(Path(config_path).read_text("utf-8"))
        if "os" not in config:
            raise BentoError(
                'image: an artifact of a model is for no platform. Push it by itself, or set format = "image".'
            )
        platform = {key: config[key] for key in ("architecture", "os", "variant") if key in config}
        name = f"{platform['os']}/{platform['architecture']}"
        if name in images:
            raise BentoError(f"platforms: two of them are {name}. Name each platform once.")
        images[name] = (Path(manifest_path).read_bytes(), platform)
    status = read_status(map(Path, arguments.repeated("--status")))
    stamped = all_filled(arguments.pairs("--stamped-annotation"), status, "stamped_annotations")
    annotations = arguments.pairs("--annotation") | stamped
    index = oci_image.make_index([images[name] for name in sorted(images)], annotations)
    Path(arguments.required("--index")).write_bytes(index)
    Path(arguments.required("--digest")).write_text(f"{digest_of(index)}\n", "utf-8")


@Subcommand(
    {
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
)
def deployment(arguments: Arguments) -> None:
    """Write the manifest."""
    from rules_bento.kubernetes.manifests import DeploymentOptions, dump, manifests

    options = DeploymentOptions(
        image=_image_reference(arguments),
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
    Path(arguments.required("--output")).write_text(dump(manifests(_common_workload(arguments), options)), "utf-8")


def _image_reference(arguments: Arguments) -> str:
    from rules_bento.registry.reference import Reference

    repository = Reference.parse(arguments.required("--repository"))
    if repository.tag or repository.digest:
        raise BentoError(
            f"repository: {repository} has a tag or a digest. Leave it out: the manifest names the image by the digest "
            "that was built."
        )
    return str(repository.with_digest(Path(arguments.required("--digest")).read_text("utf-8").strip()))


def _common_workload(arguments: Arguments) -> Workload:
    """Return what all images of an index are. Raises BentoError where they differ in what a manifest says."""
    from rules_bento.formats.yaml import read_mapping
    from rules_bento.kubernetes.workloads import read_workload

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
