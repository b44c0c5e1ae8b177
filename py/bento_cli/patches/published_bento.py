"""Reads the Bento of an image, and writes it with other packages, as a build with the new lock writes it.

Such a build changes the pins in env/python, in bento.yaml, and in the lock that is one of the sources, and the version,
which is a digest of the contents. A Bento with another version, models, or another lock is rejected.
"""

from __future__ import annotations

import re

from rules_bento.base.archives.archive import REQUIREMENTS
from rules_bento.base.archives.tarstream import Member
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.yaml_writer import dump_yaml
from rules_bento.base.tag import Tag
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping, Sequence
from rules_bento.bentos.assembly.kinds import BENTO
from rules_bento.bentos.packages.requirement_syntax import Line, decode, local_path, parse
from rules_bento.bentos.sources.tree_manifest import content_version
from rules_bento.images.plan import BENTO as DIRECTORY

from bento_cli.patches.requirements import Distribution
from bento_cli.projects.bento_project import REQUIREMENTS_LOCK
from bento_cli.projects.project_locks import as_explicit
from bento_cli.projects.uv_project import LOCK, find_locks
from bento_cli.sharing.native_packages import locked_release, read_indexes
from bento_cli.store.entry_contents import EntryContents
from bento_cli.store.export import own_members
from bento_cli.store.home import Home
from bento_cli.store.import_manifests import ManifestCache
from bento_cli.store.import_session import PULL, import_session

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.archives.unpack import Form
    from rules_bento.base.own_files import OwnDirectory

    from bento_cli.sharing.native_base import BaseImageContents
    from bento_cli.store.entry_store import Entry

LAYER = "Bento"
_BUILD = "Build the Bento again, and its image."
_ROOTS, (_HASHED, _PINNED) = "env/python/requirements.in", REQUIREMENTS
_HASH = " \\\n    --hash=sha256:"


class PublishedBento(NamedTuple):
    """The Bento of an image in a temporary store. `digest` is of its contents, as in the SBOM."""

    entry: Entry
    digest: str
    home: Home

    def text(self, path: str) -> str:
        """Return the text of a file, or "" if the Bento lacks it."""
        file = self.entry.path / path
        return decode(file.read_bytes(), path) if file.is_file() else ""

    def requirements(self) -> Distribution:
        """Return the Bento as a package that requires what the Bento requires directly."""
        lines, _ = parse(self.text(_ROOTS), _ROOTS)
        requires = tuple(line.text for line in lines if not local_path(line.text))
        return Distribution(self.entry.tag.name, self.entry.tag.version, requires)


def read_bento(blob: Path, media_type: str, contents: str, directory: OwnDirectory) -> PublishedBento:
    """Return the Bento in a layer. Raises BentoError for another digest than `contents`, models, and a chosen version.

    Writes the Bento in `directory`.
    """
    home = Home(directory / "home", durable=False)
    form: Form = "zst" if media_type.endswith("+zstd") else "gz"
    with import_session(home, PULL) as session:
        entry = session.commit([session.stage(BENTO, blob, form, below=f"{DIRECTORY[1:]}/")])[0].entry
    digest = EntryContents.of_entry(entry, ManifestCache(home)).digest()
    if entry.models:
        raise BentoError("the Bento has models", remedy=_BUILD)
    if entry.tag.version != _version(digest) or digest != contents:
        raise BentoError("the Bento's version isn't the digest of its contents", remedy=_BUILD)
    return PublishedBento(entry, digest, home)


def replace_packages(
    bento: PublishedBento, pins: Mapping[str, str], base: BaseImageContents, known: dict[Any, Line]
) -> PublishedBento:
    """Return the Bento that a build with other versions writes. `pins` has versions by name, also of other platforms.

    `known` keeps what the index has. Raises BentoError for a lock that isn't uv's, or that only a build can change.
    """
    entry = bento.entry
    files = {each.path: each for each in own_members(entry) if not each.is_directory}
    locks = [path for path in files if path.count("/") == 1 and path.endswith(REQUIREMENTS_LOCK)]
    requirements, options = parse(bento.text(_HASHED), _HASHED)
    pinned = [each.pin for each in requirements if each.pin and pins.get(each.name, each.pin[1]) != each.pin[1]]
    names = [name for name, _ in pinned]  # the Bento's format follows from bentoml's
    others = [name for name in names if name == "bentoml" or names.count(name) > 1]
    others += {path for name in (LOCK, *find_locks(entry.path / "src")) if (path := f"src/{name}") in files} - {*locks}
    if others or len(locks) > 1:
        raise BentoError(f"only a build changes {(others or locks)[0]} in the Bento", remedy=_BUILD)
    lines, indexes = read_indexes(entry.path, options, _HASHED)

    def locked(pin: str) -> Line:
        if (key := (base.python_version, *lines, pin)) not in known:
            known[key] = locked_release([*lines, pin], base, indexes)
        return known[key]

    pairs = [(locked(f"{name}=={old}"), locked(f"{name}=={pins[name]}")) for name, old in pinned]
    changed = {path: as_explicit(_replaced(bento.text(path), pairs, path)) for path in (_HASHED, _PINNED, *locks)}
    document = {**entry.description.declared}
    document["image"] = document.get("image", {}) | {"python_requirements": changed[_PINNED]}

    def members(version: str) -> list[Member]:
        texts = changed | {BENTO.descriptor: dump_yaml(document | {"version": version}).decode()}
        kept = [each for path, each in files.items() if path not in texts]
        return kept + [Member.inline(path, text.encode()) for path, text in texts.items()]

    with import_session(bento.home, PULL) as session:
        digest = session.stage_members(BENTO, entry.tag, members(entry.tag.version), LAYER).main.contents.digest()
        tag = Tag(entry.tag.name, _version(digest))
        staged = session.stage_members(BENTO, tag, members(tag.version), LAYER)
        return PublishedBento(session.commit([staged])[0].entry, digest, bento.home)


def _version(digest: str) -> str:
    return content_version(bytes.fromhex(digest.partition(":")[2]))


def _replaced(text: str, pairs: Sequence[tuple[Line, Line]], path: str) -> str:
    """Return the lines of a lock with other pins. Raises BentoError for other pins or hashes than uv's."""
    for old, new in pairs:
        name, version = old.pin or ("", "")
        lines = rf"({re.escape(name)}(?:\[[^]\n]*])?==){re.escape(version)}( *;[^\n]*?)?((?:{re.escape(_HASH)}\w+)*)"
        found = [*re.finditer(f"^{lines}$", text, re.MULTILINE)]
        hashes = [each.split(_HASH)[1:] for each in (match[3] for match in found)]
        if len(found) != 1 or hashes[0] not in ([], [*old.hashes]):
            raise BentoError(f"the lock and the index have other files of {name} {version}", place=path, remedy=_BUILD)
        words = [found[0][1] + (new.pin or ("", ""))[1] + (found[0][2] or ""), *(new.hashes if hashes[0] else ())]
        text = text[: found[0].start()] + _HASH.join(words) + text[found[0].end() :]
    return text
