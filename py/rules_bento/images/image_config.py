"""Creates an image's documents: config, manifest, and SOCI index."""

from __future__ import annotations

from types import MappingProxyType

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.formats.oci import ANNOTATION, Layer, digest_of
from rules_bento.base.typing_lite import Any, Iterable, Mapping, Sequence
from rules_bento.bentos.models.model import HUB_CACHE, ModelDescription
from rules_bento.images import entrypoint as entrypoints
from rules_bento.images import oci_image

_BYTECODE = "rules_bento.bytecode"  # label: the version of Python that compiled the bytecode
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


def has_hub_cache(bento: Mapping[str, Any], models: Iterable[ModelDescription]) -> bool:
    """Return whether code can load all models of the Hugging Face Hub from the image."""
    # A model that the Bento only references is downloaded to another cache when the service starts.
    downloads = any(
        "registry" in model for service in bento.get("services") or () for model in service.get("models") or ()
    )
    return any(model.hugging_face for model in models) and not downloads


class Documents(NamedTuple):
    """The documents of an image. With SOCI, `listing` lists the image and the SOCI index, and identifies the image."""

    image: oci_image.OciImage
    soci: tuple[bytes, ...] = ()  # the SOCI index and its config
    listing: bytes = b""  # an OCI index

    @property
    def digest(self) -> str:
        """The digest of the image, or of the OCI index with SOCI."""
        return digest_of(self.listing or self.image.manifest)


def documents(
    layers: Sequence[Layer], config: oci_image.ImageConfig, ztocs: Sequence[dict[str, Any]] | None = None
) -> Documents:
    """Return the documents of an image. `ztocs` describes the zTOCs of the layers (`soci.describe`), for SOCI."""
    if python := max([layer.python for layer in layers], default=""):
        config = config._replace(labels=config.labels | {_BYTECODE: python})
    if ztocs is None:
        return Documents(oci_image.make_image([*layers], config))
    from rules_bento.images import soci

    contents = soci.make_index(ztocs)
    config = config._replace(annotations=config.annotations | {soci.INDEX_DIGEST: digest_of(contents[0])})
    image = oci_image.make_image([*layers], config)
    fields = {"architecture": config.architecture, "os": config.os}
    entry = soci.index_entry(contents[0], image.manifest, fields)
    return Documents(image, tuple(contents), oci_image.make_index([(image.manifest, fields)], {}, [entry]))
