"""Writes SBOMs for images of Bentos. An SBOM lists Python packages, system packages, models, and sources.

An SBOM is reproducible, because it contains no random numbers and no build time. The ID of an SBOM is a UUID derived
from the image.
"""

from __future__ import annotations

import json
from urllib.parse import quote

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterable, Literal, Mapping
from rules_bento.images.validation.gpus import architectures, gpu_code
from rules_bento.images.wheels.declared_license import spdx_expression

if TYPE_CHECKING:
    from rules_bento.bentos.models.model import ModelDescription
    from rules_bento.images.system_packages import SystemFiles
    from rules_bento.images.wheels.libraries import Libraries

Format = Literal["cyclonedx", "spdx"]

_CYCLONEDX = "1.6"
_ALGORITHMS = {"sha256": "SHA-256", "blake3": "BLAKE3"}  # CycloneDX's names; SPDX has its own
_NOASSERTION = "NOASSERTION"

# Comment on an accepted wheel with an invalid RECORD.
RECORD_MISMATCH = "The wheel has an invalid RECORD; bento.pypi accepts the wheel by its hash (allow_record_mismatch)."
# Comment on a wheel with excluded files.
EXCLUDED_FILES = "bento.pypi excludes files of the wheel: {files} files, {size} bytes (exclude)."

# Comment on a wheel with code for GPUs.
GPU_CODE = "The wheel has code for GPUs with the compute capabilities {}."

# Comment on a wheel with bytecode.
BYTECODE = "The image omits bytecode of the wheel ({} files)."

# Comment on a library that Debian's package database doesn't list.
INCLUDED = "The Python interpreter includes this library."


# Comment on a base whose packages aren't known.
UNLISTED = "This SBOM lists no system packages of the base: no package list of dpkg or apk is available."
_APK = frozenset(("alpine", "chainguard", "wolfi"))


class ImageSubject(NamedTuple):
    """The image or Bento that an SBOM describes."""

    name: str
    version: str
    digest: str  # sha256:<hex> of the image's manifest, or of a Bento's bento.yaml
    created: str  # RFC 3339
    kind: Literal["container", "application"] = "container"


class Component(NamedTuple):
    """A component of an image. `reference` is its ID in the SBOM: the package URL, if available.

    >>> Component("library", "pkg:pypi/numpy@2.4.2", "numpy", "2.4.2").purl
    'pkg:pypi/numpy@2.4.2'
    """

    kind: Literal["library", "machine-learning-model", "application", "container"]
    reference: str
    name: str
    version: str
    digest: str = ""  # <algorithm>:<hex>
    remark: str = ""  # for the reader of the SBOM
    origin: str = ""  # a package URL that isn't the reference, or the URL of a download
    license: str = ""  # as declared: an SPDX expression or another name

    @property
    def purl(self) -> str:
        """The package URL, or an empty string if the component isn't a package."""
        return next((text for text in (self.reference, self.origin) if text.startswith("pkg:")), "")

    @property
    def download(self) -> str:
        """The URL from which the component was downloaded, or an empty string."""
        return "" if self.origin.startswith("pkg:") else self.origin

    @property
    def expression(self) -> str:
        """The license as an SPDX expression, or an empty string if the license isn't on the SPDX license list."""
        return spdx_expression(self.license)


def python_package(name: str, version: str, sha256: str, remark: str = "", license: str = "") -> Component:  # noqa: A002
    """Return a component for a wheel. `sha256` is the hexadecimal digest of the wheel, or empty if it is unknown."""
    reference = f"pkg:pypi/{quote(name)}" + (f"@{quote(version)}" if version else "")
    return Component("library", reference, name, version, f"sha256:{sha256}" if sha256 else "", remark, "", license)


def debian_packages(versions: Mapping[str, str], architecture: str) -> list[Component]:
    """Return components for Debian packages. `versions` maps package names to versions."""
    return [
        Component("library", f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}", name, version)
        for name, version in versions.items()
    ]


def base_image(config: Mapping[str, Any], system: SystemFiles | None, *, is_listed: bool = False) -> list[Component]:
    """Return components for a base image, if its digest is known, and for its system packages.

    `config` contains the digest and the origin. `is_listed` is true if another function returns the packages.
    """
    packages = system.packages if system else None
    ids = system.ids if system and system.ids else ("debian",)
    kind = "deb" if _APK.isdisjoint(ids) else "apk"
    components = []
    for name, version, architecture, *_ in packages or ():
        arch = quote(architecture or config["architecture"])
        reference = f"pkg:{kind}/{quote(ids[0])}/{quote(name)}@{quote(version)}?arch={arch}"
        components.append(Component("library", reference, name, version))
    if digest := config.get("digest"):
        origin = str(config.get("origin") or "")
        where = f"?repository_url={quote(origin, safe='/:')}" if origin else ""
        reference = f"pkg:oci/{quote(origin.rpartition('/')[2] or 'base')}@{quote(digest)}{where}"
        remark = UNLISTED if packages is None and not is_listed else ""
        components.append(Component("container", reference, origin or "base", digest, digest, remark))
    return components


def interpreter_components(components: Iterable[Mapping[str, str]]) -> list[Component]:
    """Return components for an interpreter and the libraries that it includes, as in the index of a base."""
    found = []
    for each in components:
        name, version = each["name"], each["version"]
        reference = f"pkg:generic/{quote(name)}" + (f"@{quote(version)}" if version else "")
        remark = "" if "digest" in each else INCLUDED
        found.append(
            Component("library", reference, name, version, each.get("digest", ""), remark, license=each["license"])
        )
    return found


def model(description: ModelDescription) -> Component:
    """Return a component for a model."""
    name, _, version = description.tag.partition(":")
    return Component(
        "machine-learning-model",
        f"model:{description.tag}",
        name,
        version,
        f"blake3:{description.blake3}",
        origin=_model_origin(description),
        license=description.labels.get("license") or description.license,
    )


def snapshot(name: str, commit: str) -> Component:
    """Return a component for a commit of a repository (`organization/name`) of the Hugging Face Hub."""
    text = f"{name}@{commit}"
    return Component("machine-learning-model", f"model:{text}", name, commit, "", origin=f"pkg:huggingface/{text}")


def _model_origin(description: ModelDescription) -> str:
    """Return the package URL of a model from the Hugging Face Hub or a registry, or the URL of another origin."""
    origin = description.origin
    if description.hugging_face:
        return f"pkg:huggingface/{description.hugging_face}"
    if origin.startswith("oci://"):
        repository, _, digest = origin.removeprefix("oci://").partition("@")
        name = repository.rpartition("/")[2].lower()
        return f"pkg:oci/{quote(name)}@{quote(digest)}?repository_url={quote(repository, safe='/:')}"
    return origin


def sources(name: str, version: str, digest: str, kind: str = "bento") -> Component:
    """Return a component for the sources of a Bento or a program (`kind`). `digest` is `blake3:<hex>`."""
    return Component("application", f"{kind}:{name}:{version}", name, version, digest)


def image_components(
    own: Component,
    wheels: Iterable[tuple[str, str, str]],
    remarks: Mapping[str, str],
    packages: Iterable[Libraries],
    models: Iterable[ModelDescription],
) -> list[Component]:
    """Return the components of an image of any front, except for system packages.

    `own` is the result of `sources`. `wheels` contains names, versions, and SHA-256 digests. `packages` has the
    properties of the wheels.
    """
    licenses, remarks = {}, {**remarks}
    for package in packages:
        licenses[package.distribution] = package.license.name
        code, count = architectures(gpu_code(package).values()), package.bytecode
        more = [GPU_CODE.format(code)] * bool(code) + [BYTECODE.format(count)] * bool(count)
        if more:
            remarks[package.distribution] = " ".join([remarks.get(package.distribution, ""), *more]).lstrip()
    libraries = [
        python_package(*wheel, remark=remarks.get(wheel[0], ""), license=licenses.get(wheel[0], "")) for wheel in wheels
    ]
    return [own, *libraries, *map(model, models)]


def make_sbom(subject: ImageSubject, components: Iterable[Component], form: Format) -> bytes:
    """Return the SBOM as JSON, in the format CycloneDX 1.6 or SPDX 2.3."""
    ordered = sorted(set(components), key=lambda component: component.reference)
    document = _cyclonedx(subject, ordered) if form == "cyclonedx" else _spdx(subject, ordered)
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _cyclonedx(subject: ImageSubject, components: list[Component]) -> dict[str, Any]:
    root = {"type": subject.kind, "bom-ref": subject.digest, "name": subject.name, "version": subject.version}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": _CYCLONEDX,
        "serialNumber": f"urn:uuid:{_uuid(subject.digest)}",
        "version": 1,
        "metadata": {
            "timestamp": subject.created,
            "tools": {"components": [{"type": "application", "name": "rules_bento"}]},
            "component": root,
        },
        "components": [_cyclonedx_component(component) for component in components],
        "dependencies": [{"ref": subject.digest, "dependsOn": [component.reference for component in components]}],
    }


def _cyclonedx_component(component: Component) -> dict[str, Any]:
    fields: dict[str, Any] = {"type": component.kind, "bom-ref": component.reference}
    fields |= {"name": component.name, "version": component.version}
    if component.purl:
        fields["purl"] = component.purl
    if component.license:
        expression = component.expression
        declared = {"expression": expression} if expression else {"license": {"name": component.license}}
        fields["licenses"] = [declared]
    if component.download:
        fields["externalReferences"] = [{"type": "distribution", "url": component.download}]
    if component.digest:
        algorithm, _, value = component.digest.partition(":")
        fields["hashes"] = [{"alg": _ALGORITHMS[algorithm], "content": value}]
    if component.remark:
        fields["properties"] = [{"name": "rules_bento:remark", "value": component.remark}]
    return fields


def _spdx(subject: ImageSubject, components: list[Component]) -> dict[str, Any]:
    image = {
        "SPDXID": "SPDXRef-image",
        "name": subject.name,
        "versionInfo": subject.version,
        "downloadLocation": _NOASSERTION,
        "filesAnalyzed": False,
        "primaryPackagePurpose": subject.kind.upper(),
        "checksums": [_spdx_checksum(subject.digest)],
    }
    packages = [_spdx_package(component, number) for number, component in enumerate(components)]
    related = [("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image")]
    related += [("SPDXRef-image", "CONTAINS", package["SPDXID"]) for package in packages]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{subject.name}-{subject.version}",
        "documentNamespace": f"urn:uuid:{_uuid(subject.digest)}",
        "creationInfo": {"created": _utc(subject.created), "creators": ["Tool: rules_bento"]},
        "packages": [image, *packages],
        "relationships": [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
            for one, kind, other in related
        ],
    }


def _spdx_package(component: Component, number: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "SPDXID": f"SPDXRef-{number}",
        "name": component.name,
        "versionInfo": component.version,
        "downloadLocation": component.download or _NOASSERTION,
        "filesAnalyzed": False,
        "primaryPackagePurpose": {"library": "LIBRARY", "application": "APPLICATION", "container": "CONTAINER"}.get(
            component.kind, "OTHER"
        ),
    }
    comments = [component.remark]
    if component.digest.startswith("sha256:"):
        fields["checksums"] = [_spdx_checksum(component.digest)]
    else:
        # SPDX's own library rejects a BLAKE3 digest of 256 bits as too short.
        comments.append(component.digest)
    if component.license:
        fields["licenseDeclared"] = component.expression or _NOASSERTION
        comments.append("" if component.expression else f"Declared license: {component.license}")
    if comment := "\n".join(filter(None, comments)):
        fields["comment"] = comment
    if component.purl:
        fields["externalRefs"] = [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": component.purl}
        ]
    return fields


def _spdx_checksum(digest: str) -> dict[str, str]:
    return {"algorithm": "SHA256", "checksumValue": digest.removeprefix("sha256:")}


def _utc(moment: str) -> str:
    """Convert an ISO 8601 time to SPDX's format: in UTC, rounded down to seconds."""
    from datetime import timezone

    from rules_bento.base.formats.times import parse_time

    return parse_time(moment).astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _uuid(digest: str) -> str:
    import uuid

    return str(uuid.uuid5(uuid.NAMESPACE_OID, digest))
