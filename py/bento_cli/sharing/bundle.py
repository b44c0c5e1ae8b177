"""Reads and writes bundles: files with several Bentos and their models, for machines without network access.

A bundle is an uncompressed tar archive, by convention with the suffix `.bentobundle`. It contains, in this order:

    models/NAME/VERSION.bentomodel      archives for `bentoml models import`
    bentos/NAME/VERSION.bento           archives for `bentoml import`, without their models
    bundle.json                         the contents: {"format": "bentobundle/1", "models": [...], "bentos": [...]},
                                        each entry has "tag", "file", "size" (bytes), and "blake3";
                                        Bentos also have "models"

You can also unpack a bundle with `tar -x`, and then import the models before the Bentos. A truncated bundle doesn't
contain bundle.json, which is the last member. Packing requires free disk space for the bundle and for another copy of
its largest archive. Unpacking reads the bundle once.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryFile

from rules_bento.archives import tarstream, unpack
from rules_bento.archives.tarstream import Member
from rules_bento.bento.kinds import BENTO, MODEL
from rules_bento.dataclasses_lite import dataclass
from rules_bento.errors import BentoError
from rules_bento.formats import FormatError
from rules_bento.formats.json import read_json
from rules_bento.tag import Tag
from rules_bento.typing_lite import TYPE_CHECKING, Any, BinaryIO, Iterator, Sequence, cast

from bento_cli.store import export
from bento_cli.store.entry_store import EntryStore, models_of
from bento_cli.store.home import unique
from bento_cli.store.import_session import import_session
from bento_cli.store.verification import require_intact

if TYPE_CHECKING:
    from rules_bento.archives.unpack import Advance, Contents, Limits
    from rules_bento.bento.kinds import Kind

    from bento_cli.store.entry_store import Entry
    from bento_cli.store.home import Home
    from bento_cli.store.import_session import Imported, Options

FORMAT = "bentobundle/1"
INDEX = "bundle.json"
_MOST_INDEX = 16 << 20  # bytes
_READ = 1 << 20


@dataclass(frozen=True)
class Unbundled:
    """The entries imported from a bundle, models first, and the tags of skipped entries."""

    imported: tuple[Imported, ...]
    known: tuple[str, ...]


def write(home: Home, tags: Sequence[str], out: Path, progress: Advance | None = None) -> dict[str, Any]:
    """Write a bundle of Bentos and the models that they require. Returns the content of bundle.json.

    Verifies all entries first. Raises NotFoundError for a missing entry, and BentoError for a damaged entry.
    """
    bentos = list({entry.path: entry for entry in map(EntryStore(home, BENTO).get, tags)}.values())
    needed = {entry.path: models_of(home, entry) for entry in bentos}
    models = list({model.tag: model for models_of_one in needed.values() for model in models_of_one}.values())
    require_intact(home, [*bentos, *models])
    index: dict[str, Any] = {"format": FORMAT, "models": [], "bentos": []}
    with export.whole(out) as file:
        for model in sorted(models, key=lambda model: model.tag):
            index["models"].append(_append(file, out, model, progress))
        for bento in sorted(bentos, key=lambda bento: bento.tag):
            part = _append(file, out, bento, progress)
            index["bentos"].append({**part, "models": [str(model.tag) for model in needed[bento.path]]})
        file.writelines(tarstream.stream([Member.inline(INDEX, f"{json.dumps(index, indent=1)}\n".encode())]))
        file.write(tarstream.END)
    return index


def read(home: Home, path: Path, options: Options, progress: Advance | None = None) -> Unbundled:
    """Verify a bundle, and then add its entries to the store. Skips entries that already exist with the same contents.

    If a part of the bundle is invalid, or the store contains another entry with the same tag, raises BentoError and
    adds no entries.
    """
    with import_session(home, options, keep_same=True, has_force=False) as session:
        drafts = [
            session.stage(part.kind, cast("BinaryIO", part), "xz", tag=part.tag)
            for part in _parts(path, options.limits, progress)
        ]
        done = session.commit(drafts)
    known = tuple(str(each.entry.tag) for each in done if not each.new)
    return Unbundled(tuple(each for each in done if each.new), known)


def extract(path: Path, directory: Path, limits: Limits, progress: Advance | None = None) -> list[Path]:
    """Verify a bundle, and write its archives to a new directory. Returns the paths of the archives.

    Raises BentoError if the bundle is invalid or the directory exists.
    """
    unfinished = unique(directory.parent if directory.parent.is_dir() else Path())
    try:
        unfinished.mkdir()
        files = []
        for part in _parts(path, limits, progress):
            target = unfinished / part.file
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                shutil.copyfileobj(cast("BinaryIO", part), file)
            files.append(part.file)
        if directory.exists():
            raise BentoError(f"--to: {directory} already exists. Specify a new directory.")
        unfinished.replace(directory)
        return [directory / file for file in files]
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


class _BundlePart:
    """File-like object for one archive in a bundle. The archive can be read only once."""

    def __init__(self, bundle: Path, kind: Kind, tag: Tag, file: str, contents: Contents) -> None:
        from blake3 import blake3

        self.kind = kind
        self.tag = tag
        self.file = file
        self.name = f"{bundle}: {file}"
        self.size = 0
        self._contents = contents
        self._hasher = blake3()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes of the archive, or no bytes at its end. Ignores `size`."""
        piece = next(self._contents, b"")
        self._hasher.update(piece)
        self.size += len(piece)
        return bytes(piece)

    def to_json(self) -> dict[str, object]:
        """Read the rest of the archive, and return the description of the archive for bundle.json."""
        while self.read():
            pass
        return {"tag": str(self.tag), "file": self.file, "size": self.size, "blake3": self._hasher.hexdigest()}


def _append(file: BinaryIO, out: Path, entry: Entry, progress: Advance | None) -> dict[str, Any]:
    """Append the archive of an entry to a bundle. Returns the description of the archive for bundle.json."""
    from blake3 import blake3

    name = f"{entry.kind.directory}/{entry.tag.name}/{entry.tag.version}.{entry.kind.extension}"
    hasher = blake3()
    with TemporaryFile(dir=out.parent) as archive:  # the file has no name, so the system removes it when it is closed
        export.write(archive, "xz", export.contents(entry, ()))
        size = archive.tell()
        archive.seek(0)
        file.write(tarstream.header(Member.file(name, "", size=size)))
        while piece := archive.read(_READ):
            hasher.update(piece)
            file.write(piece)
        file.write(bytes(-size % tarstream.RECORD))
    if progress:
        progress(size)
    return {"tag": str(entry.tag), "file": name, "size": size, "blake3": hasher.hexdigest()}


def _parts(path: Path, limits: Limits, progress: Advance | None) -> Iterator[_BundlePart]:
    """Yield the archives in a bundle. Raises BentoError if the bundle is invalid or differs from bundle.json."""
    rows: list[dict[str, object]] = []
    index: dict[str, Any] | None = None
    for item, contents in unpack.read(path, "tar", limits, progress):
        if item.kind == "folder":
            continue
        if index is not None or item.kind != "file":
            raise BentoError(f"{path}: unexpected member {item.path!r}. Create the bundle again with `bento bundle`.")
        if item.path == INDEX:
            index = _index(path, item.size, contents)
            continue
        part = _BundlePart(path, *_named(path, item.path), item.path, contents)
        yield part
        rows.append(part.to_json())
    if index is None:
        raise BentoError(f"{path}: {INDEX} is missing, so the bundle is incomplete. Transfer the bundle again.")
    listed = [
        {key: part.get(key) for key in ("tag", "file", "size", "blake3")}
        for part in (*index["models"], *index["bentos"])
    ]
    for found, row in zip(rows, listed, strict=False):
        if found != row:
            raise BentoError(f"{path}: {found['file']} doesn't match {INDEX}. Transfer the bundle again.")
    if len(rows) != len(listed):
        problem = f"the bundle contains {len(rows)} archives, but {INDEX} lists {len(listed)}"
        raise BentoError(f"{path}: {problem}. Transfer the bundle again.")


def _named(path: Path, name: str) -> tuple[Kind, Tag]:
    """Parse the path of an archive in a bundle. Returns the kind and the tag. Raises BentoError for an invalid path."""
    directory, _, rest = name.partition("/")
    for kind in (BENTO, MODEL):
        if directory == kind.directory and rest.endswith(f".{kind.extension}"):
            text = rest.removesuffix(f".{kind.extension}").replace("/", ":")
            tag = Tag.parse(text, f"{path}: {name}")
            if tag.version:
                return kind, tag
    raise BentoError(f"{path}: unexpected member {name!r}. Create the bundle again with `bento bundle`.")


def _index(path: Path, size: int, contents: Contents) -> dict[str, Any]:
    if size > _MOST_INDEX:
        raise BentoError(f"{path}: {INDEX} exceeds {_MOST_INDEX} bytes. Create several smaller bundles.")
    try:
        index = read_json(b"".join(contents), str(path))
        lists = [index["models"], index["bentos"]]
        if index["format"] == FORMAT and all(isinstance(part, dict) for parts in lists for part in parts):
            return cast("dict[str, Any]", index)
    except (FormatError, TypeError, KeyError):
        pass
    raise BentoError(f"{path}: {INDEX} isn't in the format {FORMAT}. Upgrade rules_bento, or create the bundle again.")
