"""Reports what the layers of an image hold: packages, their sizes and largest files, and changes from another image.

Who a file belongs to is what the layer itself says: RECORD of an installed wheel, the lists of dpkg, the folders of a
Bento and its models.
"""

from __future__ import annotations

from rules_bento.hints import TYPE_CHECKING, Any, Literal
from rules_bento.images.layers.contents import members
from rules_bento.records import NamedTuple, dataclass, field

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rules_bento.images.oci_image import Layer

Kind = Literal["wheel", "deb", "model", "bento", "other"]

_DPKG_LISTS = "var/lib/dpkg/info/"
_MOST_FILES = 12
_SMALL = 32 << 20  # no RECORD or list is larger


class Owner(NamedTuple):
    """Names the package, or whatever else, that a file belongs to."""

    kind: Kind
    name: str
    version: str = ""


@dataclass
class Package:
    """Sums up the files of one owner in one layer."""

    owner: Owner
    size: int = 0  # bytes of all files
    files: int = 0
    largest: list[tuple[int, str]] = field(default_factory=list)

    def add(self, path: str, size: int) -> None:
        """Count a file for the report."""
        self.size += size
        self.files += 1
        self.largest.append((size, path))
        if len(self.largest) > 4 * _MOST_FILES:
            self._cut()

    def _cut(self) -> None:
        self.largest = sorted(self.largest, key=lambda file: (-file[0], file[1]))[:_MOST_FILES]

    def to_json(self) -> dict[str, Any]:
        """Return the package as JSON of the report."""
        self._cut()
        return {
            **self.owner._asdict(),
            "size": self.size,
            "files": self.files,
            "largest": [{"path": path, "size": size} for size, path in self.largest],
        }


def describe_layer(
    layer: Layer, blob: Path | None, bento: str, owners: dict[str, Owner] | None = None
) -> dict[str, Any]:
    """Return the report of one layer, without packages if its bytes are not here. `bento` is the Bento's folder.

    `owners` is what layers below have said of files; what this one says is added.
    """
    packages = read_packages(blob, layer.media_type, bento, owners) if blob else []
    return {
        "name": layer.name,
        "digest": layer.digest,
        "size": layer.size,
        "packages": [package.to_json() for package in packages],
    }


def read_packages(blob: Path, media_type: str, bento: str, owners: dict[str, Owner] | None = None) -> list[Package]:
    """Return the packages of a layer, the largest first; `owners` as in `describe_layer`."""
    files: dict[str, int] = {}
    owners = {} if owners is None else owners
    for member, contents in members(blob, media_type):
        if member.kind == "file":
            files[member.name] = member.size
            if _lists_others(member.name) and member.size < _SMALL:
                owners.update(_listed(member.name, b"".join(contents).decode("utf-8", "replace")))
    packages: dict[Owner, Package] = {}
    for path, size in files.items():
        owner = owners.get(path) or owners.get(_source(path)) or _by_folder(path, bento.strip("/"))
        packages.setdefault(owner, Package(owner)).add(path, size)
    return sorted(packages.values(), key=lambda package: (-package.size, package.owner))


def changes(new: dict[str, Any], old: dict[str, Any]) -> list[dict[str, Any]]:
    """Return packages that came, went, or have another size or version, the largest difference first."""
    before, after = _by_name(old), _by_name(new)
    rows = []
    for key in before.keys() | after.keys():
        one, other = before.get(key, {}), after.get(key, {})
        if (one.get("size"), one.get("version")) != (other.get("size"), other.get("version")):
            rows.append(
                {
                    "kind": key[0],
                    "name": key[1],
                    "before": one.get("version") if one else None,
                    "after": other.get("version") if other else None,
                    "change": other.get("size", 0) - one.get("size", 0),
                }
            )
    return sorted(rows, key=lambda change: (-abs(change["change"]), change["kind"], change["name"]))


def _by_name(report: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    by_name: dict[tuple[str, str], dict[str, Any]] = {}
    for layer in report["layers"]:
        for package in layer["packages"]:
            known = by_name.setdefault((package["kind"], package["name"]), {"size": 0, "version": package["version"]})
            known["size"] += package["size"]
    return by_name


def _lists_others(name: str) -> bool:
    return name.endswith(".dist-info/RECORD") or (name.startswith(_DPKG_LISTS) and name.endswith(".list"))


def _listed(path: str, text: str) -> Iterator[tuple[str, Owner]]:
    """Yield the files that a list says are its package's."""
    if path.startswith(_DPKG_LISTS):
        owner = Owner("deb", path.removeprefix(_DPKG_LISTS).removesuffix(".list").partition(":")[0])
        yield path, owner
        yield from ((line.lstrip("/"), owner) for line in text.splitlines())
        return
    import csv
    import posixpath

    info = path.rpartition("/")[0]
    root, _, name = info.rpartition("/")
    distribution, _, version = name.removesuffix(".dist-info").partition("-")
    owner = Owner("wheel", distribution.lower().replace("_", "-").replace(".", "-"), version)
    for row in csv.reader(text.splitlines()):
        if row:
            yield posixpath.normpath(f"{root}/{row[0]}"), owner


def _source(path: str) -> str:
    """Return the module whose byte code a file is, if it is."""
    folder, cache, name = path.rpartition("/__pycache__/")
    return f"{folder}/{name.partition('.')[0]}.py" if cache else ""


def _by_folder(path: str, bento: str) -> Owner:
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
