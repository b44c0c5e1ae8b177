"""Signs pushed images, and attests how the images were built. Only this process reads the user's key."""

from __future__ import annotations

import os
from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.formats.json import read_object
from rules_bento.base.subcommand_arguments import Arguments
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterable, Iterator, Mapping
from rules_bento.images.registry.blob_sources import FileSource

if TYPE_CHECKING:
    from rules_bento.images.registry.client import Registries
    from rules_bento.images.registry.descriptor import Descriptor, Manifest
    from rules_bento.images.registry.reference import Reference
    from rules_bento.images.signing.keyless import IdentitySigner
    from rules_bento.images.signing.keys import PrivateKey
    from rules_bento.images.signing.provenance import Run
    from rules_bento.run.push_description import PushContents

_SBOMS = ("application/vnd.cyclonedx+json", "application/spdx+json")  # media types


class SigningOptions(Arguments):
    """The user's options for signatures and provenance."""

    builder_id: str = ""
    finished_on: str = ""
    identity_token: str = ""  # file, or env://NAME
    invocation_id: str = ""
    sign_key: str = ""  # file, or env://NAME
    sign_password_file: str = ""
    started_on: str = ""
    trust_config: str = ""


class Signer(NamedTuple):
    """Signs images with a key or an identity. If `run` is set, also attests the build inputs."""

    key: PrivateKey | IdentitySigner
    run: Run | None

    def sign(
        self, target: str, contents: PushContents, repositories: Iterable[Reference], registries: Registries
    ) -> None:
        """Sign the images of a target in each repository, and attest their SBOMs.

        If `run` is set, also attests the build inputs. For an index, signs the index and each image. Raises BentoError
        if the build inputs are unknown or an SBOM is invalid. Also raises the same errors as `signatures.sign`.
        """
        from rules_bento.images.artifacts import signatures

        manifests = contents.package.manifests()
        attested = [
            *(item for manifest in manifests for item in self._provenance(target, manifest, contents.definitions)),
            *_sboms(contents),
        ]
        for repository in dict.fromkeys(reference.with_digest("") for reference in repositories):
            place = signatures.InRegistry(repository, registries)
            for manifest in manifests:
                signatures.sign(place, repository.name, manifest.descriptor, self.key)
            for subject, kind, predicate in attested:
                signatures.attest(place, repository.name, subject, kind, predicate, self.key)

    def _provenance(
        self, target: str, manifest: Manifest, definitions: Mapping[str, Path]
    ) -> Iterator[tuple[Descriptor, str, dict[str, Any]]]:
        """Yield the provenance of `manifest` if `self.run` is set. Raises BentoError if `definitions` is incomplete."""
        from rules_bento.images.signing import provenance

        if self.run is None:
            return
        digest = manifest.descriptor.digest
        if manifest.is_index:
            images = [provenance.dependency(f"oci:{child.digest}", child.digest) for child in manifest.children()]
            definition = provenance.definition("image-index", {"target": target}, images)
        elif digest in definitions:
            definition = read_object(definitions[digest].read_bytes(), str(definitions[digest]))
        else:
            problem = "provenance requires the build inputs, which are unknown"
            remedy = "Push with a bento_push that sets signed = True, or omit --builder-id."
            raise BentoError(problem, place="--builder-id", remedy=remedy)
        yield manifest.descriptor, provenance.PREDICATE, provenance.predicate(definition, self.run)


def _sboms(contents: PushContents) -> Iterator[tuple[Descriptor, str, dict[str, Any]]]:
    """Yield the subject, predicate type, and content of each image's SBOMs. Raises BentoError for an invalid SBOM."""
    from rules_bento.images.signing.cosign import sbom_type

    for referrer in contents.referrers:
        if referrer.root.subject and referrer.root.descriptor.artifact_type in _SBOMS:
            [layer] = referrer.root.layers()
            source = referrer.sources[layer.digest]
            assert isinstance(source, FileSource)
            sbom = read_object(read_file(source.path), str(source.path))
            yield referrer.root.subject, sbom_type(sbom, str(source.path)), sbom


def signers(options: SigningOptions, are_keyless: set[bool]) -> tuple[Signer | None, Signer | None]:
    """Return the signer with the user's key, and the signer for keyless targets.

    The signer with the key is None if `--sign-key` isn't set. The keyless signer is None if no target is keyless.
    `are_keyless` contains the values of the targets' `keyless` attributes. Raises BentoError for incomplete options,
    for options that no target supports, and for an invalid key, token, or configuration of signing services.
    """
    from rules_bento.images.signing.keyless import IdentitySigner
    from rules_bento.images.signing.keys import read_private
    from rules_bento.images.signing.provenance import Run

    name, password = options.sign_key, options.sign_password_file
    values = options.builder_id, options.invocation_id, options.started_on, options.finished_on
    token, trust_config = options.identity_token, options.trust_config
    if are_keyless == {True} and (name or password):
        problem = "--sign-key, --sign-password-file: targets with keyless = True don't support these options"
        raise BentoError(problem, remedy="Remove the options.")
    if token and True not in are_keyless:
        problem = "only targets with keyless = True support this option"
        raise BentoError(problem, place="--identity-token", remedy="Remove the option.")
    if not name and (password or ((any(values) or trust_config) and True not in are_keyless)):
        raise BentoError("required by the other signing options", place="--sign-key", remedy="Pass --sign-key FILE.")
    if any(values) and not values[0]:
        remedy = "Pass --builder-id URI."
        raise BentoError("required by the other provenance options", place="--builder-id", remedy=remedy)
    run = Run(*values).checked() if values[0] else None
    directory = os.environ.get("BUILD_WORKING_DIRECTORY", ".")
    return (
        Signer(read_private(name, Path(directory), password, trust_config), run) if name else None,
        Signer(IdentitySigner(token, trust_config, directory), run) if True in are_keyless else None,
    )
