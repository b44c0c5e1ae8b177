"""Lists what refers to a manifest, in registries without an API for it.

OCI distribution specification 1.1, `Backwards Compatibility` and `Referrers Tag Schema`.
"""

from __future__ import annotations

from rules_bento.dataclasses_lite import replace
from rules_bento.registry import descriptor as oci
from rules_bento.registry.client import referrers_tag
from rules_bento.registry.descriptor import Manifest
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from rules_bento.registry.client import Repository


def list_in_tag(repository: Repository, subject: str, manifest: Manifest) -> None:
    """Add a manifest to the index under the referrers tag of the digest `subject`.

    Two who do so at the same moment may lose one entry: the specification has no remedy. Raises as `Repository` does.
    """
    listed = repository.referrers_tag(subject)
    if any(item.digest == manifest.descriptor.digest for item in listed):
        return
    artifact_type = manifest.descriptor.artifact_type or manifest.config.media_type
    listed.append(replace(manifest.descriptor, artifact_type=artifact_type))
    document = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [item.to_json() for item in listed]}
    index = Manifest.read(oci.to_bytes(document), oci.INDEX, str(repository))
    repository.put_manifest(index, referrers_tag(subject))
