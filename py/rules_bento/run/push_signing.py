"""Signs the pushed images, and attests how they were built. The caller's key stays in this process."""

from __future__ import annotations

import os
from pathlib import Path

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterable, Mapping

if TYPE_CHECKING:
    from rules_bento.arguments import Arguments
    from rules_bento.net.transfers import Counter
    from rules_bento.registry.client import Registries
    from rules_bento.registry.descriptor import Manifest
    from rules_bento.registry.pushable import Pushable
    from rules_bento.registry.reference import Reference
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
    """Signs the pushed images with a key, and attests the builder if it is given."""

    key: PrivateKey
    target: str
    run: Run | None
    form: str

    def sign(
        self,
        package: Pushable,
        definitions: Mapping[str, dict[str, Any]],
        targets: Iterable[Reference],
        registries: Registries,
        counter: Counter,
    ) -> None:
        """Sign the images before the push, an index and each of its images, and attest their inputs.

        Raises BentoError if the inputs aren't known, and the errors of `signatures.sign`.
        """
        from rules_bento.artifacts import signatures
        from rules_bento.signing import provenance

        statements = [(manifest.descriptor, self._predicate(manifest, definitions)) for manifest in package.manifests()]
        for repository in dict.fromkeys(target.with_digest("") for target in targets):
            place = signatures.InRegistry(repository, registries, counter)
            for subject, predicate in statements:
                signatures.sign(place, repository.name, subject, self.key, self.form)
                if predicate:
                    kind = provenance.PREDICATE
                    signatures.attest(place, repository.name, subject, kind, predicate, self.key, self.form)

    def _predicate(self, manifest: Manifest, definitions: Mapping[str, dict[str, Any]]) -> dict[str, Any] | None:
        from rules_bento.signing import provenance

        if self.run is None:
            return None
        digest = manifest.descriptor.digest
        if manifest.is_index:
            images = [provenance.dependency(f"oci:{child.digest}", child.digest) for child in manifest.children()]
            definition = provenance.definition("image-index", {"target": self.target}, images)
        elif digest in definitions:
            definition = definitions[digest]
        else:
            raise BentoError(
                "--builder-id: provenance requires the inputs, which are unknown. Push images or Bentos by a "
                "bento_push with signed = True, or omit --builder-id to only sign."
            )
        return provenance.predicate(definition, self.run)


def signer(caller: Arguments, target: str) -> Signer | None:
    """Read the caller's flags. Raises BentoError for flags without a key, and for an invalid key."""
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
            raise BentoError("--sign-key is missing: provenance must be signed. Pass --sign-key.")
        return None
    if any(values) and not values[0]:
        raise BentoError("--builder-id is missing: the other values are part of the provenance. Pass --builder-id.")
    folder = Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    key = read_private(name, folder, caller.optional("--sign-password-file"))
    return Signer(key, target, Run(*values).checked() if values[0] else None, form or FORMS[0])
