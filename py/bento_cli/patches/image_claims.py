"""Reads what an image states about itself: settings of the config, packages of the SBOM, and the user's packages.

All of it is only a claim. `image_patch` accepts it if the build gives the digest of the image.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from base64 import urlsafe_b64encode

from rules_bento.base.archives.tarstream import is_utf8
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import ANNOTATION, Layer
from rules_bento.base.formats.schema import validate
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping
from rules_bento.bentos.packages.requirement_syntax import normalize_name
from rules_bento.images.layers.contents import members
from rules_bento.images.oci_image import layer_names
from rules_bento.images.plan import ENVIRONMENT
from rules_bento.images.wheels.wheel_metadata import canonical_version

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.own_files import OwnDirectory

    from bento_cli.patches.published_image import PublishedImage

BYTECODE = "rules_bento.bytecode"  # label: see image_config
REBUILD = "Build the image again from its sources."
_SHAPE = {
    "metadata": {"component": {"bom-ref": str}},
    "components": [
        {
            "bom-ref": str,
            "name": str,
            "version": str,
            "purl?": str,
            "hashes?": [{"alg": str, "content": str}],
            "properties?": [{"name": str, "value": str}],
        }
    ],
}
_CONFIG = {
    "created": str,
    "rootfs": {"diff_ids": [str]},
    "config": {"Env": [str], "Labels": {...: str}, "Cmd?": [str], "WorkingDir?": str, "ExposedPorts?": {...: {}}},
}
_EXCLUDED = re.compile(r"The image excludes files of the wheel: (.*?)\.(?: The (?:wheel|image) .*)?", re.DOTALL)
_NAME, _VERSION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*"), re.compile(r"\w[-+!.\w]*", re.ASCII)  # of no option of uv
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TAG = re.compile(rb"^Tag: *([\w.]+-[\w.]+-[\w.]+) *\r?$", re.MULTILINE)
_MAX_PROJECT = 1 << 30  # bytes of the files of a user's package, and the size of each of them
_MAX_FILE = 32 << 20


class Package(NamedTuple):
    """A package of an SBOM."""

    version: str
    sha256: str  # of the wheel
    exclude: tuple[str, ...]  # patterns of files that the image lacks


class Claims(NamedTuple):
    """What an image states."""

    packages: dict[str, Package]  # by normalized name
    contents: str  # the digest of the sources, `<algorithm>:<hex>`
    snapshots: tuple[tuple[str, str], ...]  # names and commits of models
    config: dict[str, Any]
    layers: list[Layer]  # with names
    title: str  # name of the program
    version: str
    base: str  # the repository of the base, or ""
    base_digest: str
    bytecode: str  # X.Y.Z of the Python that compiled bytecode, or ""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of a container in the config."""
        found: Mapping[str, Any] = self.config["config"]
        return found


def read_packages(source: PublishedImage) -> tuple[dict[str, Package], list[dict[str, Any]]]:
    """Return the packages and the other components of the SBOM. Raises BentoError without an SBOM of this image."""
    for document in source.sboms():
        try:
            validate(document, _SHAPE, "SBOM", REBUILD)
        except BentoError:  # of another program, or of an attacker
            continue
        if document["metadata"]["component"]["bom-ref"] == source.manifest.descriptor.digest:
            components = document["components"]
            packages = [item for item in components if item.get("purl", "").startswith("pkg:pypi/")]
            found = {normalize_name(item["name"]): _package(item) for item in packages}
            if invalid := [name for name in found if not _NAME.fullmatch(name)]:
                raise BentoError(f"{invalid[0]!r} isn't the name of a package", place="SBOM", remedy=REBUILD)
            if len(found) < len(packages):
                raise BentoError("lists a package twice", place="SBOM", remedy=REBUILD)
            return found, [item for item in components if item not in packages]
    raise BentoError("the registry has no CycloneDX SBOM of the image", remedy="Push the image with its SBOM.")


def _package(item: Mapping[str, Any]) -> Package:
    sha256 = next((each["content"] for each in item.get("hashes", ()) if each["alg"] == "SHA-256"), "")
    version = item["version"]
    if not (_VERSION.fullmatch(version) and canonical_version(version) and _SHA256.fullmatch(sha256)):
        raise BentoError(f"{item['name']!r} has no valid version and hash", place="SBOM", remedy=REBUILD)
    remark = next((each["value"] for each in item.get("properties", ()) if each["name"] == "rules_bento:remark"), "")
    excluded = _EXCLUDED.fullmatch(remark)
    return Package(version, sha256, tuple(excluded[1].split(" ")) if excluded else ())


def read(source: PublishedImage) -> Claims:
    """Return the claims of an image. Raises BentoError for an image of another program, or of a Bento."""
    validate(source.config, _CONFIG, "config", REBUILD)
    annotations, labels = source.manifest.descriptor.annotations, source.config["config"]["Labels"]
    standard = [f"{ANNOTATION}{name}" for name in ("title", "version", "base.digest", "base.name")]
    title, version, base_digest, base = (annotations.get(name, "") for name in standard)
    if not (title and version and base_digest):
        raise BentoError("not an image of a project", remedy="Name an image that `bento image` built.")
    packages, others = read_packages(source)
    program = f"program:{title}:{version}"
    contents = [each["hashes"][0] for each in others if each["bom-ref"] == program and each.get("hashes")]
    if not contents:
        raise BentoError("only images of projects can be patched", remedy="Build the Bento again, and its image.")
    models = [each for each in others if each.get("purl", "").startswith("pkg:huggingface/")]
    descriptors, sums = source.manifest.layers(), source.config["rootfs"]["diff_ids"]
    if len(sums) != len(descriptors):
        raise BentoError("the config doesn't name each layer", remedy=REBUILD)
    names = layer_names(source.config.get("history"), len(descriptors))
    bytecode = labels.get(BYTECODE, "")
    return Claims(
        packages,
        f"{contents[0]['alg'].lower().replace('-', '')}:{contents[0]['content']}",
        tuple((each["name"], each["version"]) for each in models),
        source.config,
        [
            Layer(each.media_type, each.digest, each.size, diff_id, None, None, name)._replace(
                python=bytecode if name.startswith("bytecode of ") else ""
            )
            for each, diff_id, name in zip(descriptors, sums, names, strict=True)
        ],
        *(title, version, base, base_digest, bytecode),
    )


def write_wheel(source: PublishedImage, layer: Layer, minor: int, directory: OwnDirectory) -> Path:
    """Write a wheel with the files of a user's package, which only its layer has, and return its path.

    The wheel has what `Libraries` and requirements need, and not what an installer writes. Raises BentoError for a
    layer with another package, or with files elsewhere.
    """
    inside = f"{ENVIRONMENT[1:]}/"
    site = f"{inside}lib/python3.{minor}/site-packages/"
    tag, info, left = b"", "", _MAX_PROJECT
    made = directory / "made"
    record: list[str] = []
    blob = source.save(layer.digest, directory)
    with zipfile.ZipFile(made, "w") as archive:
        for member, pieces in members(blob, layer.media_type, layer.diff_id):
            path = member.name.removeprefix(site)
            if member.kind == "folder" or (path == member.name and path.startswith(inside)):  # such as scripts
                continue
            if path == member.name or member.kind != "file" or member.size > min(left, _MAX_FILE) or not is_utf8(path):
                problem = f"the layer has the unexpected or large file {member.name!r}"
                raise BentoError(problem, place=layer.name, remedy=REBUILD)
            content = b"".join(pieces)
            left -= member.size
            top, _, name = path.partition("/")
            info = top if top.endswith(".dist-info") else info
            if top == info and name in ("INSTALLER", "REQUESTED", "RECORD"):
                continue
            if found := _TAG.search(content) if top == info and name == "WHEEL" else None:
                tag = found[1]
            encoded = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            quoted = path.replace('"', '""')
            record.append(f'"{quoted}",sha256={encoded},{member.size}\n')
            entry = zipfile.ZipInfo(path)
            entry.external_attr = (0o100000 | member.mode) << 16
            archive.writestr(entry, content)
        archive.writestr(f"{info}/RECORD", "".join(record))
    name = f"{info.removesuffix('.dist-info')}-{tag.decode()}.whl"
    if not (info and tag) or not re.fullmatch(r"[\w.+!]+-[\w.+!]+-[\w.]+-[\w.]+-[\w.]+\.whl", name):
        raise BentoError("the layer has no package", place=layer.name, remedy=REBUILD)
    return made.rename(directory / name)  # writes: own, a name without a slash
