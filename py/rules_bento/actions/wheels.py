"""Subcommands that build, describe, unpack, and pack wheels."""

from __future__ import annotations

import json
import marshal
import re
from pathlib import Path

from rules_bento.base.errors import BentoError
from rules_bento.base.own_files import TreeWriter, own_directory
from rules_bento.base.subcommand_arguments import Pairs, Paths, Request, Strings, Triples
from rules_bento.base.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rules_bento.images.wheels.wheel_metadata import Metadata


class _BuildWheelRequest(Request):
    distribution: str
    import_root: Paths
    output: Path
    platform: str
    python_version: str
    source: Path
    subfolder: str
    version: str


def build_wheel(request: _BuildWheelRequest) -> None:
    """Build a wheel from source, verify its name, version, and tags, and remove data that differs between builds."""
    from rules_bento.bentos.packages import build_wheel

    with own_directory("rules_bento-build-") as scratch:
        source = build_wheel.unpack(request.source, scratch / "source")
        made = build_wheel.build(source / request.subfolder, scratch, request.import_root, request.version)
        build_wheel.check(made, request.distribution, request.version, request.python_version, request.platform)
        build_wheel.repack(made, request.output)


class _PackInstalledRequest(Request):
    file: Pairs  # short path, path
    output: Path
    python_version: str
    root: str = ""  # prefix of short paths above site-packages


def pack_installed(request: _PackInstalledRequest) -> None:
    """Pack the installed files of a package from a rules_python package hub into a wheel."""
    from rules_bento.bentos.packages import build_wheel

    root = request.root
    files = {short.removeprefix(root): Path(path) for short, path in request.file}
    build_wheel.pack_installed(files, request.output, request.python_version)


_REQUIREMENT = r"([A-Za-z0-9][-._A-Za-z0-9]*)\s*(?:\[([^]]*)])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?"


class _DescribeWheelRequest(Request):
    output: Path
    wheel: Path


def describe_wheel(request: _DescribeWheelRequest) -> None:
    """Write the lock entry of a wheel, based on the wheel's metadata."""
    package = lock_entry(request.wheel, request.target)
    request.output.write_text(json.dumps(package, indent=1) + "\n", "utf-8")


def lock_entry(path: Path, label: str) -> dict[str, Any]:
    """Return the entry of a wheel in a lock, without the dependencies of extras.

    Raises BentoError for an invalid wheel or an unsupported dependency.
    """
    from rules_bento.base.archives import sha256_of
    from rules_bento.bentos.service.module_table import modules_of
    from rules_bento.images.wheels.install import imported_files
    from rules_bento.images.wheels.wheel import Wheel

    wheel = Wheel.read(path)
    dependencies, _ = _edges(wheel.metadata, wheel.name)
    return {
        "name": wheel.distribution,
        "version": wheel.metadata.version,
        "dependencies": dependencies,
        "files": {wheel.name: sha256_of(path)},
        "source": {"wheel": wheel.name, "label": label},
        "modules": modules_of(imported_files(wheel)),
    }


class _DescribeInstalledRequest(Request):
    file: Pairs  # short path, path
    metadata: Path
    other: Strings  # short paths of files that patches don't change
    output: Path
    root: str = ""  # prefix of short paths above site-packages


def describe_installed(request: _DescribeInstalledRequest) -> None:
    """Write the lock entry of a package that rules_python installed. Reading the lock adds hashes."""
    from rules_bento.bentos.service.module_table import modules_of
    from rules_bento.images.wheels.wheel_metadata import FileName, Metadata, normalized

    path = request.metadata
    directory = path.parent.name
    file = FileName.of(f"{directory.removesuffix('.dist-info')}-py3-none-any.whl")
    if file is None:
        remedy = "Report a bug to rules_python."
        raise BentoError("expected a directory NAME-VERSION.dist-info", place=directory, remedy=remedy)
    metadata = Metadata.read(path.read_text("utf-8", "surrogateescape"), file)
    dependencies, of_extras = _edges(metadata, directory)
    entry: dict[str, Any] = {
        "name": normalized(metadata.name),
        "version": metadata.version,
        "dependencies": dependencies,
        "dependencies_of_extras": of_extras,
        "files": {},
        "changed": _changed(request, directory),
        "modules": modules_of(_present(request)),
    }
    request.output.write_text(json.dumps(entry, indent=1) + "\n", "utf-8")


def _present(request: _DescribeInstalledRequest) -> set[str]:
    """Return the paths of the package's files in site-packages."""
    top = f"{request.root}site-packages/"
    paths = [*(short for short, _ in request.file), *request.other]
    return {path.removeprefix(top) for path in paths if path.startswith(top)}


def _changed(request: _DescribeInstalledRequest, directory: str) -> str:
    """Return a file that differs from the wheel of the index, or "". The wheel's list has the digests (RECORD).

    rules_python adds `__init__.py` files, `pip.override` patches files, and annotations add and exclude files. A wheel
    that rules_python built from source has no list.
    """
    from base64 import urlsafe_b64encode
    from hashlib import sha256

    from rules_bento.bentos.packages.shared_files import files_of_record

    top = f"{request.root}site-packages/"
    files = {short.removeprefix(top): path for short, path in request.file if short.startswith(top)}
    present = _present(request)
    record = files.get(f"{directory}/RECORD")
    if record is None:
        return ""
    text = "\n" + Path(record).read_text("utf-8", "replace")
    listed, ignored = files_of_record("", text).files, (".pyc", "/__init__.py")
    for path, digest in listed.items():
        if path.endswith(".pyc") or " " in path:
            continue
        if path not in present:
            return path
        if path in files and digest.startswith("sha256="):
            found = sha256(Path(files[path]).read_bytes())
            known = (urlsafe_b64encode(found.digest()).rstrip(b"=").decode(), found.hexdigest())
            if digest.removeprefix("sha256=").rstrip("=") not in known:
                return path
    added = (path for path in present - {*listed} if f"\n{path}," not in text and not path.endswith(ignored))
    return min((path for path in added if not path.startswith(f"{directory}/")), default="")


def _edges(metadata: Metadata, name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the dependencies of a package, and the dependencies of its extras."""
    edges = [_parse_requirement(text, name) for text in metadata.requires]
    of_extras = [edge for edge in edges if re.search(r"\bextra\s*==", edge.get("marker", ""))]
    return [edge for edge in edges if edge not in of_extras], of_extras


def _parse_requirement(text: str, name: str) -> dict[str, Any]:
    from rules_bento.bentos.packages.requirement_syntax import normalize_name

    match = re.fullmatch(_REQUIREMENT, text)
    if not match or "@" in text.partition(";")[0]:
        remedy = "Use a wheel whose dependencies all come from a package index."
        raise BentoError(f"unsupported dependency {text!r}", place=name, remedy=remedy)
    distribution, extras, specifier, marker = match.groups()
    edge: dict[str, Any] = {"name": normalize_name(distribution)}
    if extras:
        edge["extras"] = [extra.strip() for extra in extras.split(",")]
    if specifier.strip():
        edge["specifier"] = specifier.replace(" ", "")
    if marker:
        edge["marker"] = marker.strip()
    return edge


class _UnpackWheelRequest(Request):
    output: Path
    wheel: Path


def unpack_wheel(request: _UnpackWheelRequest) -> None:
    """Unpack the importable files and the metadata of a wheel, but not its scripts, headers, or data."""
    from rules_bento.base.archives.atomic import atomic_dir
    from rules_bento.images.wheels.install import imported_files
    from rules_bento.images.wheels.wheel import Wheel

    wheel = Wheel.read(request.wheel)
    with atomic_dir(request.output) as directory, TreeWriter(directory) as tree:
        files = imported_files(wheel)
        for path, chunks in zip(files, wheel.chunks(files.values()), strict=True):
            try:
                tree.file(path, (chunk.data for chunk in chunks))
            except OSError as error:
                problem = f"cannot extract {path!r}: {error.strerror}"
                remedy = "Check the free disk space, or require another version of the package."
                raise BentoError(problem, place=wheel.name, remedy=remedy) from None


_UNCHECKED_PYC = (1).to_bytes(4, "little") + bytes(8)  # header of bytecode that isn't compared with its source
_EPOCH = (1980, 1, 1, 0, 0, 0)
# Python can't import machine code from a zip. A module of its name in the zip loads it from the directory next to
# the zip, which has the same relative path in a sandbox and on another machine.
_EXTENSION_STUB = """\
from importlib._bootstrap import _load
from importlib.machinery import ExtensionFileLoader, ModuleSpec

_path = __loader__.archive.removesuffix(".zip") + {path!r}
_load(ModuleSpec(__name__, ExtensionFileLoader(__name__, _path), origin=_path))
"""


class _PackPackagesRequest(Request):
    packed: Triples  # wheel, the zip, and the directory for machine code or an empty string


def pack_packages(request: _PackPackagesRequest) -> None:  # writes: output that follows links, of the action
    """Pack the helper's wheels: bytecode into zip files, and machine code into directories.

    Every file of an imported package is an input of each action, so packing reduces the number of inputs. Raises
    BentoError for a wheel without modules, and for a wheel with machine code if no directory is specified.
    """
    import zipfile

    for wheel, packed, machine_code in request.packed:
        members = _packed_members(wheel, machine_code)
        if not members:
            remedy = "Lock another version of the package."
            raise BentoError("the wheel contains no Python modules", place=wheel, remedy=remedy)
        with zipfile.ZipFile(packed, "w") as archive:
            for name in sorted(members):
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), members[name])


def _packed_members(wheel: str, machine_code: str) -> dict[str, bytes]:  # writes: output, of the action
    """Write a wheel's machine code to the directory `machine_code`. Returns bytecode and extension stubs by path."""
    from rules_bento.base.archives.zipread import Bounds, FileZip

    modules: dict[str, bytes] = {}
    stubs: dict[str, bytes] = {}
    with Path(wheel).open("rb") as file:
        archive = FileZip(file, wheel, Bounds(ratio=100, unpacked=64 << 20))
        members = archive.members()
        # mypyc compiles modules to several files, and the wheel also has the modules: fewer inputs of an action.
        is_mypyc = any("__mypyc." in member.path for member in members)
        for member in members:
            name = _installed_path(member.path)
            if name.endswith(".py"):
                modules[f"{name}c"] = _compile(b"".join(archive.contents(member)), name)
            elif name.endswith(".so") and not is_mypyc:
                if not machine_code:
                    remedy = "Lock a version that contains only Python code."
                    raise BentoError(f"unexpected extension module {name}", place=wheel, remedy=remedy)
                with TreeWriter(Path(machine_code)) as tree:
                    tree.file(name, archive.contents(member))
                module = name[: name.index(".", name.rfind("/") + 1)] + ".py"
                stubs[f"{module}c"] = _compile(_EXTENSION_STUB.format(path=f"/{name}").encode(), module)
    return modules | stubs


def _installed_path(member: str) -> str:
    """Return a wheel member's path in `site-packages`, or an empty string if the member is installed elsewhere."""
    first, _, rest = member.partition("/")
    if first.endswith(".data"):
        kind, _, name = rest.partition("/")
        return name if kind in ("purelib", "platlib") else ""
    return member


def _compile(source: bytes, name: str) -> bytes:
    from importlib.util import MAGIC_NUMBER

    return MAGIC_NUMBER + _UNCHECKED_PYC + marshal.dumps(compile(source, name, "exec", dont_inherit=True, optimize=0))
