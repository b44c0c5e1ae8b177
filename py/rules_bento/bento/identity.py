"""Computes the identity of a Bento: a digest of the content, without the name, version, and creation times."""

from __future__ import annotations

from rules_bento.formats.yaml_writer import dump_yaml
from rules_bento.sources.manifest import TreeEntry, TreeManifest
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterable

if TYPE_CHECKING:
    from rules_bento.models.model import ModelDescription


def content_identity(
    document: dict[str, Any], entries: Iterable[TreeEntry], models: Iterable[ModelDescription]
) -> bytes:
    """Return the BLAKE3 digest of a Bento's files, models, and bento.yaml.

    `document` is the parsed bento.yaml. The digest excludes the Bento's name, version, and creation times. `entries`
    lists the Bento's files, without bento.yaml and the files of models.
    """
    timeless = {key: value for key, value in document.items() if key not in ("name", "version", "creation_time")}
    timeless["models"] = [_without_time(entry) for entry in document.get("models") or ()]
    timeless["services"] = [
        service | {"models": [_without_time(entry) for entry in service.get("models") or ()]}
        for service in document.get("services") or ()
    ]
    unique = {model.tag: model for model in models}
    tree = [*entries, TreeEntry.of_bytes("bento.yaml", dump_yaml(timeless))]
    tree += [
        TreeEntry("models/" + tag.replace(":", "/"), model.size, 0o644, model.blake3) for tag, model in unique.items()
    ]
    return TreeManifest.of(tree).identity()


def _without_time(entry: dict[str, Any] | str) -> dict[str, Any] | str:
    """Return the entry of a model without its time. In an older form of bento.yaml, an entry is only a tag."""
    return entry if isinstance(entry, str) else {key: value for key, value in entry.items() if key != "creation_time"}
