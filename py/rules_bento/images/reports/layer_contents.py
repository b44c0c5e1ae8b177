"""Reports the packages in each layer of an image.

The report includes the sizes and the largest files of the packages. The owner of a file is determined from the RECORD
of an installed wheel, from dpkg's file lists, or from the directory of a Bento or model.
"""

from __future__ import annotations

import posixpath
import re
from contextlib import suppress

from rules_bento.base.archives.zipread import Chunk
from rules_bento.base.dataclasses_lite import NamedTuple, dataclass, field
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import split_lines
from rules_bento.base.formats.yaml import read_mapping
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterable, Iterator, Literal
from rules_bento.bentos.packages.platforms import marker_environment
from rules_bento.images.layers.contents import members
from rules_bento.images.system_packages import SystemFiles
from rules_bento.images.validation.gpus import architectures
from rules_bento.images.wheels.elf import SparseFile, read_elf
from rules_bento.images.wheels.gpu_code import GpuCodeScanner
from rules_bento.images.wheels.wheel_metadata import normalized

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.formats.oci import Layer


Kind = Literal["wheel", "deb", "model", "bento", "other"]

_DPKG_LISTS = "var/lib/dpkg/info/"
_MAX_FILES = 12
_MAX_LIST_SIZE = 32 << 20  # larger than any RECORD or list
_METADATA = ".dist-info/METADATA"
_REQUIRED = re.compile(r"^Requires-Dist:[ \t]*(.{1,300})$", re.MULTILINE)
_MAX_REQUIRED = 2000
_LIBRARY = re.compile(r"\.so(?:\.\d+)*$")
# Files that Python runs at each start: modules, and `.pth` files with a line that begins with an import.
_STARTUP = re.compile(r"/(?:site|dist)-packages/(?:(?:site|user)customize(?:/__init__)?\.[^/]+|[^/]+\.pth)\Z")


# A line of RECORD with a digest, which installers don't write for bytecode that they compile.
_RECORDED_BYTECODE = re.compile(rb"^[^\n]*\b__pycache__/[^\n]*\.pyc\"?,[^,\n]", re.MULTILINE)


class Owner(NamedTuple):
    """The owner of files: a package, a model, the Bento, or a directory of other files."""

    kind: Kind
    name: str
    version: str = ""


@dataclass
class OwnedFiles:
    """The number and total size of an owner's files in a layer, and the largest of these files.

    >>> files = OwnedFiles(Owner("package", "numpy", "2.4.2"))
    >>> files.add("numpy/version.py", 300)
    >>> files.size, files.files
    (300, 1)
    """

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


class LayerReader:
    """Groups the files of an image by owner. Read the layers in their order, because lists name files of other layers.

    `bento` is the Bento's directory in the image.
    """

    def __init__(self, bento: str) -> None:
        self._bento = bento.strip("/")
        self._owners: dict[str, Owner] = {}
        self._requires: dict[str, set[str]] = {}  # the packages that require a package
        self._system: dict[str, bytes] = {}
        self._services: list[dict[str, Any]] = []
        self._layers: list[dict[str, Any]] = []
        self._sizes: dict[str, int] = {}  # of the files in the layers below
        self._replaced = {"files": 0, "size": 0}  # files that a later layer replaces
        self._data_only: set[str] = set()  # `.pth` files without code
        self._startup: dict[str, str] = {}  # files that Python runs at each start, and their owners
        self._bytecode: set[str] = set()  # packages that other tools installed with the bytecode of the wheel
        self._gpu_code: dict[str, set[str]] = {}  # architectures by owner

    def add(self, layer: Layer, blob: Path | None) -> None:
        """Add the next layer. If `blob` is None, the layer's contents are unknown."""
        owned = self.read(blob, layer.media_type, layer.diff_id) if blob else []
        packages = [package.to_json() for package in owned]
        self._layers.append({"name": layer.name, "digest": layer.digest, "size": layer.size, "packages": packages})

    def read(self, blob: Path, media_type: str, diff_id: str = "") -> list[OwnedFiles]:
        """Group the files of a layer by owner, largest group first."""
        files: dict[str, int] = {}
        gpu_code: dict[str, tuple[str, ...]] = {}
        for member, contents in members(blob, media_type, diff_id):
            self._data_only.discard(member.name)  # of a layer below
            if member.kind.endswith("link") and _STARTUP.search(member.name):
                files[member.name] = 0  # to any file
            elif member.kind == "file":
                files[member.name] = member.size
                if _LIBRARY.search(member.name) and member.size:
                    gpu_code[member.name] = _gpu_code(contents, member.size)
                elif self._is_read(member.name) and member.size < _MAX_LIST_SIZE:
                    self._read_file(member.name, b"".join(contents))
        packages: dict[Owner, OwnedFiles] = {}
        for path, size in files.items():
            if path in self._sizes:
                self._replaced["files"] += 1
                self._replaced["size"] += self._sizes[path]
            self._sizes[path] = size
            owner = self._owners.get(path) or self._owners.get(_bytecode_source(path))
            owner = owner or _owner_by_directory(path, self._bento)
            packages.setdefault(owner, OwnedFiles(owner)).add(path, size)
            self._gpu_code.setdefault(owner.name, set()).update(gpu_code.get(path, ()))
            if _STARTUP.search(path) and path not in self._data_only:
                self._startup[path] = owner.name
        return sorted(packages.values(), key=lambda package: (-package.size, package.owner))

    def report(self) -> dict[str, Any]:
        """Return the layers, and the packages, models, and APIs of the whole image."""
        system = SystemFiles.from_files(self._system).packages
        versions = {each.name: each.version for each in system or ()}
        packages: dict[tuple[str, str], dict[str, Any]] = {}
        models: dict[str, int] = {}
        for owned in (owned for layer in self._layers for owned in layer["packages"]):
            name, kind = owned["name"], owned["kind"]
            if kind == "deb":
                owned["version"] = versions.get(name, "")
            if kind in ("wheel", "deb"):
                entry = {key: owned[key] for key in ("kind", "name", "version")}
                users = sorted(self._requires.get(name, ())) if kind == "wheel" else []
                entry = packages.setdefault((kind, name), {**entry, "size": 0, "required_by": users})
                entry["size"] += owned["size"]
            elif kind == "model" and not owned["largest"][0]["path"].endswith("/latest"):
                tag = f"{name}:{owned['version']}".rstrip(":")
                models[tag] = models.get(tag, 0) + owned["size"]
        for name, version in versions.items():  # without a list of files, as in distroless images
            entry = {"kind": "deb", "name": name, "version": version, "size": 0, "required_by": []}
            packages.setdefault(("deb", name), entry)
        listed = [{"tag": tag, "module": "", "labels": {}, "size": size} for tag, size in sorted(models.items())]
        return {
            "layers": self._layers,
            "packages": sorted(packages.values(), key=lambda each: (-each["size"], each["kind"], each["name"])),
            "models": [{**each, "weights": [], "pickles": [], "files": []} for each in listed],
            "services": self._services,
            "replaced": self._replaced,
            "startup": [{"path": path, "name": self._startup[path]} for path in sorted(self._startup)],
            "lists_system": system is not None,
            "bytecode": sorted(self._bytecode),
            "gpu_code": {name: architectures([codes]) for name, codes in sorted(self._gpu_code.items()) if codes},
        }

    def _is_read(self, path: str) -> bool:
        is_named = SystemFiles.has(path) or path.endswith(_METADATA) or path == self._descriptor
        return is_named or _is_file_list(path) or bool(_STARTUP.search(path))

    @property
    def _descriptor(self) -> str:
        return f"{self._bento}/bento.yaml"

    def _read_file(self, path: str, data: bytes) -> None:
        if _is_file_list(path):
            self._owners.update(_owners_of_list(path, data.decode("utf-8", "replace")))
            if _RECORDED_BYTECODE.search(data):
                self._bytecode.add(_owner_of_metadata(path).name)
        elif SystemFiles.has(path):
            self._system[path] = data
        elif _STARTUP.search(path):
            lines = data.decode("utf-8-sig", "replace").splitlines()
            if path.endswith(".pth") and not any(line.startswith(("import ", "import\t")) for line in lines):
                self._data_only.add(path)
        elif path == self._descriptor:
            from rules_bento.images.reports.bento_report import described_services

            with suppress(BentoError):
                self._services = described_services(read_mapping(data, path))
        else:
            owner = _owner_of_metadata(path)
            for name in _required(data.decode("utf-8", "replace"), path):
                self._requires.setdefault(name, set()).add(owner.name)


def _gpu_code(contents: Iterable[bytes | memoryview], size: int) -> tuple[str, ...]:
    """Return the architectures of a library that can be read only once."""
    scanner, chunks = GpuCodeScanner(), (Chunk(bytes(piece), None) for piece in contents)
    with SparseFile(size, lambda: iter(())) as spread:
        for _ in spread.tee(scanner.watch(chunks), read_elf):
            pass
        elf = read_elf(spread.data, spread.fetch, scanner.within)
    return elf.gpu_code if elf else ()


def _required(metadata: str, path: str) -> Iterator[str]:
    """Yield the packages that a METADATA file requires on Linux, without extras."""
    from packaging.markers import UndefinedEnvironmentName
    from packaging.requirements import Requirement

    version = next(iter(re.findall(r"/python(3\.\d+)/", path)), "3.13")
    environment = marker_environment("linux", "x86_64", version)
    for text in _REQUIRED.findall(metadata.partition("\n\n")[0])[:_MAX_REQUIRED]:
        with suppress(ValueError, UndefinedEnvironmentName):  # of an invalid requirement or marker
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate(environment):
                yield normalized(requirement.name)


def _is_file_list(name: str) -> bool:
    return name.endswith(".dist-info/RECORD") or (name.startswith(_DPKG_LISTS) and name.endswith(".list"))


def _owners_of_list(path: str, text: str) -> Iterator[tuple[str, Owner]]:
    if path.startswith(_DPKG_LISTS):
        owner = Owner("deb", path.removeprefix(_DPKG_LISTS).removesuffix(".list").partition(":")[0])
        yield path, owner
        yield from ((line.lstrip("/"), owner) for line in split_lines(text))
        return
    import csv

    root, owner = path.rpartition("/")[0].rpartition("/")[0], _owner_of_metadata(path)
    for row in csv.reader(split_lines(text)):
        if row:
            yield posixpath.normpath(f"{root}/{row[0]}"), owner


def _owner_of_metadata(path: str) -> Owner:
    """Return the wheel whose `.dist-info` directory contains a file."""
    distribution, _, version = path.split("/")[-2].removesuffix(".dist-info").partition("-")
    return Owner("wheel", normalized(distribution), version)


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
