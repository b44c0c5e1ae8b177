"""Signs the pushed images, and attests how they were built. No other process gets the caller's key."""

from __future__ import annotations

import os
from pathlib import Path

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.formats.json import read_object
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterable, Mapping

if TYPE_CHECKING:
    from rules_bento.arguments import Arguments
    from rules_bento.net.transfers import Counter
    from rules_bento.registry.client import Registries
    from rules_bento.registry.descriptor import Manifest
    from rules_bento.registry.reference import Reference
    from rules_bento.run.push_contents import PushContents
    from rules_bento.signing.keys import PrivateKey
    from rules_bento.signing.provenance import Run

_PROVENANCE = ("--builder-id", "--invocation-id", "--started-on", "--finished-on")

FLAGS = {
    "--sign-format": 1,  # bundle or legacy
    "--sign-key": 1,  # file, or env://NAME
    "--sign-password-file": 1,
    **dict.fromkeys(_PROVENANCE, 1),
}


class Signer(NamedTuple):
    """Signs images with a key, and attests how the builder built them if the caller names the builder."""

    key: PrivateKey
    run: Run | None
    form: str

    def sign(
        self,
        target: str,
        contents: PushContents,
        repositories: Iterable[Reference],
        registries: Registries,
        counter: Counter,
    ) -> None:
        """Sign the images of a target (an index and each of its images) in repositories, and attest their inputs.

        Raises BentoError if the inputs aren't known, and the errors of `signatures.sign`.
        """
        from rules_bento.artifacts import signatures
        from rules_bento.signing import provenance

        statements = [
            (manifest.descriptor, self._predicate(target, manifest, contents.definitions))
            for manifest in contents.package.manifests()
        ]
        for repository in dict.fromkeys(reference.with_digest("") for reference in repositories):
            place = signatures.InRegistry(repository, registries, counter)
            for subject, predicate in statements:
                signatures.sign(place, repository.name, subject, self.key, self.form)
                if predicate:
                    kind = provenance.PREDICATE
                    signatures.attest(place, repository.name, subject, kind, predicate, self.key, self.form)

    def _predicate(self, target: str, manifest: Manifest, definitions: Mapping[str, Path]) -> dict[str, Any] | None:
        from rules_bento.signing import provenance

        if self.run is None:
            return None
        digest = manifest.descriptor.digest
        if manifest.is_index:
            images = [provenance.dependency(f"oci:{child.digest}", child.digest) for child in manifest.children()]
            definition = provenance.definition("image-index", {"target": target}, images)
        elif digest in definitions:
            definition = read_object(definitions[digest].read_bytes(), str(definitions[digest]))
        else:
            raise BentoError(
                "--builder-id: provenance requires the inputs, which are unknown. Push images or Bentos by a "
                "bento_push with signed = True, or omit --builder-id to only sign."
            )
        return provenance.predicate(definition, self.run)


def signer(caller: Arguments) -> Signer | None:
    """Return the signer that the caller's flags specify, if any.

    Raises BentoError for provenance without a key or a builder, and for an invalid key.
    """
    from rules_bento.artifacts.signatures import FORMS
    from rules_bento.signing.keys import read_private
    from rules_bento.signing.provenance import Run

    name = caller.optional("--sign-key")
    values = [caller.optional(flag) for flag in _PROVENANCE]
    form = caller.optional("--sign-format")
    if form not in ("", *FORMS):
        raise BentoError(f"--sign-format: expected {' or '.join(FORMS)}, got {form!r}.")
    if not name:
        if any(values) or form or caller.optional("--sign-password-file"):
            raise BentoError("--sign-key is missing: the other options for signing require it. Pass --sign-key.")
        return None
    if any(values) and not values[0]:
        raise BentoError("--builder-id is missing: the other values are part of the provenance. Pass --builder-id.")
    folder = Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    key = read_private(name, folder, caller.optional("--sign-password-file"))
    return Signer(key, Run(*values).checked() if values[0] else None, form or FORMS[0])
