"""Creates the configs of images from the facts of a base and of a Bento or program."""

from __future__ import annotations

from types import MappingProxyType

from rules_bento.errors import BentoError
from rules_bento.formats.oci import ANNOTATION
from rules_bento.images import entrypoint as entrypoints
from rules_bento.images import oci_image
from rules_bento.models.model import HUB_CACHE
from rules_bento.typing_lite import Any, Mapping, Sequence

# Packages find their caches by HOME, and torch a name by USER. A container can run as any user, with a read-only root.
_USER = {"HOME": "/tmp", "USER": "bentoml"}


def image_config(
    base: dict[str, Any],
    bento: dict[str, Any],
    *,
    created: str,
    directory: str,
    environment: str,
    home: str,
    has_hub_cache: bool = False,
    labels: dict[str, str],
    env: Mapping[str, str] = MappingProxyType({}),
    annotations: Mapping[str, str] = MappingProxyType({}),
    entrypoint: Sequence[str] = (),
    working_dir: str = "",
    **fields: Any,
) -> oci_image.ImageConfig:
    """Return the config of an image with a Bento in `directory`, and its packages in `environment`.

    `base` is the config of the base image, `bento` has the fields of bento.yaml, and `fields` other fields of it.
    `has_hub_cache` is whether code can load all models of the Hugging Face Hub from the image.
    """
    standard = {
        "base.digest": base.get("digest", ""),
        "base.name": base.get("origin", ""),
        "created": created,
        "title": bento["name"],
        "version": bento["version"],
    }
    annotations = {f"{ANNOTATION}{key}": value for key, value in standard.items() if value} | dict(annotations)
    labels = bento["labels"] | labels
    return oci_image.ImageConfig(
        architecture=base["architecture"],
        os=base["os"],
        created=created,
        env=_image_env(base, bento, directory, environment, home, has_hub_cache) | dict(env),
        entrypoint=entrypoint or entrypoints.command(environment),
        working_dir=working_dir or directory,
        labels=_oci_annotations(annotations) | labels,
        annotations=_oci_annotations(labels) | annotations,
        **fields,
    )


def _oci_annotations(texts: dict[str, str]) -> dict[str, str]:
    """Return the entries with standard OCI keys. Images contain these entries as labels and as annotations."""
    return {key: value for key, value in texts.items() if key.startswith(ANNOTATION)}


def _image_env(
    base: dict[str, Any], bento: dict[str, Any], directory: str, environment: str, home: str, has_hub_cache: bool
) -> dict[str, str]:
    """Return the environment variables of an image. Later sources override earlier: user, base, defaults, Bento.

    Excludes variables of the Bento if the value is empty or the stage is `build`. Users set variables with empty values
    at startup. Variables with the stage `build` can be secrets.
    """
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
    }
    if directory:
        own |= {"BENTO_PATH": directory, "BENTOML_HOME": f"{home}/", "BENTOML_CONTAINERIZED": "true"}
    if has_hub_cache:
        own |= {"HF_HUB_CACHE": f"{home}/{HUB_CACHE}", "HF_HUB_OFFLINE": "1"}
    envs = [env for env in bento["envs"] if env["value"] != "" and env["stage"] != "build"]
    declared = {env["name"]: str(env["value"]) for env in envs}
    return _USER | inherited | own | declared


def platform(config: dict[str, Any]) -> dict[str, str]:
    """Return the fields of an image's config that identify the platform in an OCI index."""
    return {key: config[key] for key in ("architecture", "os", "variant") if key in config}


def require_gzip(layers: list[oci_image.Layer], setting: str, remedy: str) -> None:
    """Raise BentoError if a layer uses zstd, because some runtimes support only gzip.

    `setting` is the setting that requires gzip, and `remedy` is an alternative to converting the base image.
    """
    others = [layer.name for layer in layers if layer.media_type.endswith("+zstd")]
    if others:
        raise BentoError(
            f"{setting}: every layer must use gzip, but these layers use zstd: {', '.join(others)}. Convert the base "
            f"image with `skopeo copy --dest-compress-format gzip`, or {remedy}."
        )
