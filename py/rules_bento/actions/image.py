"""Assembles an image: config and manifest, from the descriptions of its layers."""

from __future__ import annotations

from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.formats import read_file
from rules_bento.formats.json import read_object
from rules_bento.formats.oci import ANNOTATION
from rules_bento.images import oci_image
from rules_bento.images.image_commands import reject_commands
from rules_bento.typing_lite import Any
from rules_bento.workspace_status import all_filled, read_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
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


def run(arguments: Arguments) -> None:
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
    image = oci_image.make_image(layers, _settings(arguments, base, _read_bento(arguments)))
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


def _read_bento(arguments: Arguments) -> dict[str, Any]:
    from rules_bento.formats.yaml import read_mapping

    path = arguments.required("--bento-yaml")
    document = read_mapping(read_file(path), path)
    reject_commands(document, arguments.json_strings("--provided"))
    return document


def _settings(arguments: Arguments, base: dict[str, Any], bento: dict[str, Any]) -> oci_image.ImageConfig:
    folder = arguments.required("--bento")
    status = read_status(Path(path) for path in arguments.repeated("--status"))
    annotations = _annotations(arguments, base, bento) | arguments.pairs("--annotation")
    annotations |= all_filled(arguments.pairs("--stamped-annotation"), status, "stamped_annotations")
    labels = bento["labels"] | arguments.pairs("--label")
    labels |= all_filled(arguments.pairs("--stamped-label"), status, "stamped_labels")
    python = arguments.required("--environment") + "/bin/python"
    return oci_image.ImageConfig(
        architecture=base["architecture"],
        os=base["os"],
        created=arguments.required("--created"),
        env=_env(arguments, base, bento),
        entrypoint=arguments.repeated("--entrypoint") or [python, "-m", "bentoml", "serve", folder],
        cmd=arguments.repeated("--cmd"),
        user=arguments.required("--user"),
        working_dir=arguments.optional("--working-dir", folder),
        ports=arguments.repeated("--port"),
        labels=_standard(annotations) | labels,
        annotations=_standard(labels) | annotations,
        stop_signal=arguments.required("--stop-signal"),
        healthcheck=arguments.repeated("--healthcheck"),
    )


def _standard(texts: dict[str, str]) -> dict[str, str]:
    """Return those that OCI defines: what reads labels and what reads annotations are to see the same."""
    return {key: value for key, value in texts.items() if key.startswith(ANNOTATION)}


def _env(arguments: Arguments, base: dict[str, Any], bento: dict[str, Any]) -> dict[str, str]:
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


def _annotations(arguments: Arguments, base: dict[str, Any], bento: dict[str, Any]) -> dict[str, str]:
    standard = {
        "base.digest": base.get("digest", ""),
        "base.name": base.get("origin", ""),
        "created": arguments.required("--created"),
        "title": bento["name"],
        "version": bento["version"],
    }
    return {f"{ANNOTATION}{key}": value for key, value in standard.items() if value}
