"""Reads images of registries, and what they state: config, SBOM, and the user's packages. Verifies all digests.

What an image states is only a claim. `image_patch` accepts it if the build gives the digest of the image.
"""

from __future__ import annotations

import re
from contextlib import suppress

from rules_bento.base.archives.tarstream import is_utf8
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_object
from rules_bento.base.formats.oci import ANNOTATION, SBOM_TYPES, Layer
from rules_bento.base.formats.schema import validate
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping
from rules_bento.bentos.packages.build_wheel import pack_installed
from rules_bento.bentos.packages.requirement_syntax import normalize_name
from rules_bento.images.layers.contents import members
from rules_bento.images.oci_image import layer_names
from rules_bento.images.plan import ENVIRONMENT
from rules_bento.images.registry.blob_sources import ResumedSource, verified_pieces
from rules_bento.images.wheels.wheel_metadata import canonical_version

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.own_files import OwnDirectory
    from rules_bento.images.registry.client import Registries, Repository
    from rules_bento.images.registry.descriptor import Manifest
    from rules_bento.images.registry.reference import Reference

    from bento_cli.patches.published_bento import PublishedBento

BYTECODE = "rules_bento.bytecode"  # label: see image_config
REBUILD = "Build the image again from its sources."
_OURS = "Name an image of `bento image` or python_image."
_CYCLONEDX = SBOM_TYPES["cyclonedx"]
_COMPONENT: dict[str, Any] = {"bom-ref": str, "name": str, "version": str, "purl?": str}
_COMPONENT |= {"hashes?": [{"alg": str, "content": str}], "properties?": [{"name": str, "value": str}]}
_SBOM = {"metadata": {"component": {"bom-ref": str}}, "components": [_COMPONENT]}
_CONFIG = {
    "created": str,
    "rootfs": {"diff_ids": [str]},
    "config": {"Env": [str], "Labels": {...: str}, "Cmd?": [str], "WorkingDir?": str, "ExposedPorts?": {...: {}}},
}
_EXCLUDED = re.compile(r"The image excludes files of the wheel: (.*?)\.(?: The (?:wheel|image) .*)?", re.DOTALL)
_NAME, _VERSION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*"), re.compile(r"\w[-+!.\w]*", re.ASCII)  # of no option of uv
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TAG = re.compile(rb"^Tag: *([\w.]+-[\w.]+-[\w.]+) *\r?$", re.MULTILINE)
_WHEEL = re.compile(r"[\w.+!]+-[\w.+!]+-[\w.]+-[\w.]+-[\w.]+\.whl")
_MAX_ATTACHED = 1000
_MAX_PROJECT, _MAX_FILE = 1 << 30, 32 << 20  # bytes of the files of a user's package, and of each of them


class PublishedImage(NamedTuple):
    """One image for one platform."""

    repository: Repository
    manifest: Manifest
    config: dict[str, Any]
    root: str  # digest of the index that lists the image, or of the image

    @property
    def platform(self) -> str:
        """`OS/ARCHITECTURE`, as the config states."""
        return f"{self.config.get('os')}/{self.config.get('architecture')}"

    @property
    def layers(self) -> list[Layer]:
        """The layers, with their names in the history."""
        described, sums = self.manifest.layers(), self.config["rootfs"]["diff_ids"]
        if len(sums) != len(described):
            raise BentoError("the config doesn't name each layer", remedy=REBUILD)
        names = layer_names(self.config.get("history"), len(sums))
        python = {"bytecode": self.config["config"]["Labels"].get(BYTECODE, "")}  # by the first word of a name
        return [
            Layer(*(at.media_type, at.digest, at.size, diff_id), name=name, python=python.get(name.split(" ")[0], ""))
            for at, diff_id, name in zip(described, sums, names, strict=True)
        ]

    def save(self, layer: Layer, directory: OwnDirectory) -> Path:
        """Write a layer to a file. Raises BentoError if the content doesn't match the digest."""
        problem, path = f"{layer.digest}: the registry has another blob", directory / "layer"
        with path.open("wb") as file:
            file.writelines(
                verified_pieces(ResumedSource(self.repository, layer.digest), layer.digest, layer.size, problem)
            )
        return path

    def components(self) -> list[dict[str, Any]]:
        """Return the components of the CycloneDX SBOM. Raises BentoError if no attached document is of this image."""
        for digest in dict.fromkeys([self.manifest.descriptor.digest, self.root]):
            for listed in self.repository.referrers(digest)[:_MAX_ATTACHED]:
                if listed.artifact_type != _CYCLONEDX:
                    continue
                with suppress(BentoError):  # anyone who can push can attach anything
                    for blob in self.repository.get_manifest(listed.digest).layers():
                        document = read_object(self.repository.read_blob(blob), _CYCLONEDX, is_large=True)
                        validate(document, _SBOM, "SBOM", REBUILD)
                        if document["metadata"]["component"]["bom-ref"] == self.manifest.descriptor.digest:
                            return [*document["components"]]
        raise BentoError("the registry has no CycloneDX SBOM of the image", remedy="Push the image with its SBOM.")


def read_images(reference: Reference, registries: Registries) -> list[PublishedImage]:
    """Return the images of all platforms. Raises BentoError for another kind of artifact."""
    repository = registries.repository(reference)
    root = repository.get_manifest(reference.target)
    found = []
    for listed in root.children() if root.is_index else [root.descriptor]:
        manifest = repository.get_manifest(listed.digest) if root.is_index else root
        if manifest.is_index:
            raise BentoError("the index lists another index", place=str(reference), remedy=_OURS)
        config = read_object(repository.read_blob(manifest.config), f"{reference}: config")
        validate(config, _CONFIG, f"{reference}: config", _OURS)
        found.append(PublishedImage(repository, manifest, config, root.descriptor.digest))
    if not found:
        raise BentoError("the index lists no image", place=str(reference), remedy=_OURS)
    return found


class Package(NamedTuple):
    """A package of an SBOM."""

    version: str
    sha256: str  # of the wheel
    exclude: tuple[str, ...]  # patterns of files that the image lacks


class Claims(NamedTuple):
    """What an image states."""

    image: PublishedImage
    components: list[dict[str, Any]]
    packages: dict[str, Package]  # by normalized name
    contents: str  # the digest of the sources, `<algorithm>:<hex>`
    snapshots: tuple[tuple[str, str], ...]  # names and commits of models
    standard: Mapping[str, str]  # annotations of OCI, by name without prefix
    layers: list[Layer]
    bento: PublishedBento | None = None


def read_packages(components: list[dict[str, Any]]) -> dict[str, Package]:
    """Return the packages of an SBOM by name. Raises BentoError for what can't be a requirement."""
    return dict(_package(item) for item in components if item.get("purl", "").startswith("pkg:pypi/"))


def _package(item: Mapping[str, Any]) -> tuple[str, Package]:
    name, version = normalize_name(item["name"]), item["version"]
    sha256 = next((each["content"] for each in item.get("hashes", ()) if each["alg"] == "SHA-256"), "")
    is_version = _VERSION.fullmatch(version) and canonical_version(version)
    if not (_NAME.fullmatch(name) and is_version and _SHA256.fullmatch(sha256)):
        raise BentoError(f"{item['name']!r} has no valid name, version, and hash", place="SBOM", remedy=REBUILD)
    remark = next((each["value"] for each in item.get("properties", ()) if each["name"] == "rules_bento:remark"), "")
    excluded = _EXCLUDED.fullmatch(remark)
    return name, Package(version, sha256, tuple(excluded[1].split(" ")) if excluded else ())


def read_claims(image: PublishedImage) -> Claims:
    """Return the claims of an image. Raises BentoError for an image of another program."""
    annotations = image.manifest.descriptor.annotations
    standard = {key.removeprefix(ANNOTATION): text for key, text in annotations.items() if key.startswith(ANNOTATION)}
    if not {"title", "version", "base.digest"} <= standard.keys():
        raise BentoError("the image states no program or no base image", remedy=_OURS)
    components, named = image.components(), f":{standard['title']}:{standard['version']}"
    sources = (f"bento{named}", f"program{named}")
    hashes = [each["hashes"][0] for each in components if each["bom-ref"] in sources and each.get("hashes")]
    if not hashes:
        raise BentoError("the SBOM has no digest of the sources", remedy=REBUILD)
    contents = f"{hashes[0]['alg'].lower().replace('-', '')}:{hashes[0]['content']}"
    models = [each for each in components if each.get("purl", "").startswith("pkg:huggingface/")]
    snapshots = tuple((each["name"], each["version"]) for each in models)
    return Claims(image, components, read_packages(components), contents, snapshots, standard, image.layers)


def write_wheel(blob: Path, layer: Layer, python_version: str, directory: OwnDirectory) -> Path:
    """Write a wheel with the files of a user's package, which only its layer has, and return its path.

    The wheel has what `Libraries` and requirements need, and no scripts. Raises BentoError for a layer with another
    package, or with files elsewhere.
    """
    files: dict[str, Path] = {}
    left, inside = _MAX_PROJECT, f"{ENVIRONMENT[1:]}/"
    site = f"{inside}lib/python{python_version}/site-packages/"
    for member, pieces in members(blob, layer.media_type, layer.diff_id):
        path = member.name.removeprefix(site)
        if member.kind == "folder" or (path == member.name and path.startswith(inside)):
            continue
        is_valid = path != member.name and path not in files and member.kind == "file" and is_utf8(path)
        if not is_valid or member.size > min(left, _MAX_FILE):
            problem = f"the layer has the unexpected or large file {member.name!r}"
            raise BentoError(problem, place=layer.name, remedy=REBUILD)
        left -= member.size
        files[path] = directory / str(len(files))
        files[path].write_bytes(b"".join(pieces))  # writes: own, a number as name
    infos = [path.rpartition("/")[0] for path in files if path.count("/") == 1 and path.endswith(".dist-info/METADATA")]
    wheel = files.get(f"{infos[0]}/WHEEL") if len(infos) == 1 else None
    tag = _TAG.search(wheel.read_bytes()) if wheel else None
    name = f"{infos[0].removesuffix('.dist-info')}-{tag[1].decode()}.whl" if tag else ""
    if not _WHEEL.fullmatch(name):
        raise BentoError("the layer has no package", place=layer.name, remedy=REBUILD)
    installed, output = {f"site-packages/{path}": file for path, file in files.items()}, directory / name
    pack_installed(installed, output, python_version)  # writes: own, a name without a slash
    return output
