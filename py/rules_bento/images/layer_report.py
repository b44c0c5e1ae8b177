"""Reports the packages in each layer of an image.

The report includes the sizes and the largest files of the packages. The owner of a file is determined from the RECORD
of an installed wheel, from dpkg's file lists, or from the directory of a Bento or model.
"""

from __future__ import annotations

from rules_bento.dataclasses_lite import NamedTuple, dataclass, field
from rules_bento.formats import split_lines
from rules_bento.images.layers.contents import members
from rules_bento.reports import page as pages
from rules_bento.reports.page import Section, Table
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterator, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.images.oci_image import Layer


Kind = Literal["wheel", "deb", "model", "bento", "other"]

_DPKG_LISTS = "var/lib/dpkg/info/"
_MAX_FILES = 12
_MAX_LIST_SIZE = 32 << 20  # larger than any RECORD or list


class Owner(NamedTuple):
    """The owner of files: a package, a model, the Bento, or a directory of other files."""

    kind: Kind
    name: str
    version: str = ""


@dataclass
class OwnedFiles:
    """The number and total size of an owner's files in a layer, and the largest of these files."""

    owner: Owner
    size: int = 0  # bytes of all files
    files: int = 0
    largest: list[tuple[int, str]] = field(default_factory=list)

    def add(self, path: str, size: int) -> None:
        """Add a file of `size` bytes to the count, the total size, and the largest files."""
        self.size += size
        self.files += 1
        self.largest.append((size, path))
        if len(self.largest) > 4 * _MAX_FILES:
            self._cut()

    def _cut(self) -> None:
        self.largest = sorted(self.largest, key=lambda file: (-file[0], file[1]))[:_MAX_FILES]

    def to_json(self) -> dict[str, Any]:
        """Return the owner's entry in the report."""
        self._cut()
        largest = [{"path": path, "size": size} for size, path in self.largest]
        return {**self.owner._asdict(), "size": self.size, "files": self.files, "largest": largest}


def describe_layer(
    layer: Layer, blob: Path | None, bento: str, owners: dict[str, Owner] | None = None
) -> dict[str, Any]:
    """Return a layer's entry in the report. If `blob` is None, the entry lists no packages.

    `bento` is the Bento's directory in the image. `owners` maps paths to owners. The function adds the paths in the
    layer's package lists to `owners`.
    """
    packages = read_packages(blob, layer.media_type, bento, owners) if blob else []
    listed = [package.to_json() for package in packages]
    return {"name": layer.name, "digest": layer.digest, "size": layer.size, "packages": listed}


def read_packages(blob: Path, media_type: str, bento: str, owners: dict[str, Owner] | None = None) -> list[OwnedFiles]:
    """Group the files of a layer by owner, largest group first. See `describe_layer` for the parameters."""
    files: dict[str, int] = {}
    owners = {} if owners is None else owners
    for member, contents in members(blob, media_type):
        if member.kind == "file":
            files[member.name] = member.size
            if _is_file_list(member.name) and member.size < _MAX_LIST_SIZE:
                owners.update(_owners_of_list(member.name, b"".join(contents).decode("utf-8", "replace")))
    packages: dict[Owner, OwnedFiles] = {}
    for path, size in files.items():
        owner = owners.get(path) or owners.get(_bytecode_source(path)) or _owner_by_directory(path, bento.strip("/"))
        packages.setdefault(owner, OwnedFiles(owner)).add(path, size)
    return sorted(packages.values(), key=lambda package: (-package.size, package.owner))


def _is_file_list(name: str) -> bool:
    return name.endswith(".dist-info/RECORD") or (name.startswith(_DPKG_LISTS) and name.endswith(".list"))


def _owners_of_list(path: str, text: str) -> Iterator[tuple[str, Owner]]:
    if path.startswith(_DPKG_LISTS):
        owner = Owner("deb", path.removeprefix(_DPKG_LISTS).removesuffix(".list").partition(":")[0])
        yield path, owner
        yield from ((line.lstrip("/"), owner) for line in split_lines(text))
        return
    import csv
    import posixpath

    info = path.rpartition("/")[0]
    root, _, name = info.rpartition("/")
    distribution, _, version = name.removesuffix(".dist-info").partition("-")
    owner = Owner("wheel", distribution.lower().replace("_", "-").replace(".", "-"), version)
    for row in csv.reader(split_lines(text)):
        if row:
            yield posixpath.normpath(f"{root}/{row[0]}"), owner


def _bytecode_source(path: str) -> str:
    directory, cache, name = path.rpartition("/__pycache__/")
    return f"{directory}/{name.partition('.')[0]}.py" if cache else ""


def _owner_by_directory(path: str, bento: str) -> Owner:
    if path.startswith(f"{bento}/models/"):
        name, _, rest = path.removeprefix(f"{bento}/models/").partition("/")
        version = rest.partition("/")[0]
        return Owner("model", name, "" if version == "latest" else version)
    weights = f"{bento.rpartition('/')[0]}/weights/"
    if path.startswith(weights):
        return Owner("model", path.removeprefix(weights).partition("/")[0])
    if path.startswith(f"{bento}/"):
        return Owner("bento", "Bento")
    return Owner("other", "/" + "/".join(path.split("/")[:2]))


_KINDS = {
    "wheel": "Python package",
    "deb": "Debian package",
    "model": "model",
    "bento": "sources",
    "other": "other files",
}


def page(report: dict[str, Any], date: str | None = None) -> str:
    """Return a report about layers as an HTML page. `date` is the creation time of the build's outputs."""
    layers = report["layers"]
    stored = sum(layer["size"] for layer in layers)
    unpacked = sum(package["size"] for layer in layers for package in layer["packages"])
    summary = [f"{len(layers)} layers, {pages.size(stored)} in a registry, {pages.size(unpacked)} unpacked."]
    return pages.document(report["target"], summary, _sections(report), documentation="docs/images.md", date=date)


def _sections(report: dict[str, Any]) -> Iterator[Section]:
    if wrong := report.get("record_mismatches"):
        text = f"Accepted by their hashes, as configured in bento.pypi: {', '.join(wrong)}."
        yield Section("Wheels with an invalid RECORD", [text], "always")
    if excluded := report.get("excluded"):
        rows = [(one["name"], one["version"], str(one["files"]), pages.size(one["size"])) for one in excluded]
        saved = pages.size(sum(one["size"] for one in excluded))
        table = Table(("Name", "Version", "Files", "Unpacked size"), rows)
        yield Section(f"Excluded from packages by bento.pypi: {saved}", [table], "always")
    for number, layer in enumerate(report["layers"], 1):
        rows = [
            (_KINDS[package["kind"]], package["name"], package["version"], pages.size(package["size"]))
            for package in layer["packages"]
        ]
        table = Table(("Kind", "Name", "Version", "Unpacked size"), rows)
        title = f"{number}. {layer['name']}, {pages.size(layer['size'])} in a registry"
        yield Section(title, [table if rows else "This layer was not fetched."])
