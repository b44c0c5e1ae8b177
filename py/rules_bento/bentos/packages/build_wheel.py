"""Builds wheels from source distributions with PEP 517 build backends, and packs installed packages into wheels.

The build environment contains only the locked build requirements. Timestamps, the hash seed, the locale, and the source
path are fixed. `repack` then rewrites the built wheel with sorted, uncompressed entries that are dated 1980.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
import subprocess
from functools import partial

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Iterable, Iterator, Mapping, Sequence
from rules_bento.bentos.packages.platforms import matches_platform
from rules_bento.bentos.packages.requirement_syntax import is_same_version, normalize_name
from rules_bento.bentos.packages.virtualenv import make_environment
from rules_bento.bentos.packages.wheel_choice import supported_tags

if TYPE_CHECKING:
    import zipfile
    from pathlib import Path


_EPOCH = (1980, 1, 1, 0, 0, 0)
_SOURCE_DATE = "315532800"  # the same day
_MAX_SOURCE_BYTES = 16 << 30  # size of an unpacked source archive
_MAX_RATIO, _MIN_RATIO_BYTES = 250, 1 << 30  # maximum ratio of unpacked to packed bytes, for larger wheels
_REMEDY = "Lock another version of the package, or report the problem to its authors."
_MODULE = re.compile(r"\w+(\.\w+)*(:\w+(\.\w+)*)?")
_WHEEL = re.compile(r"(?a:[\w.+!]+(-[\w.+!]+){4,5}\.whl)")
_BUILD_SYSTEM = {"build-system?": {"build-backend?": str, "backend-path?": [str]}}
# Runs in the build environment: gets the build requirements from the backend, builds the wheel, and writes the result
# to a file because backends print arbitrary text to standard output.
_HOOK = """\
import importlib, importlib.metadata, json, os, re, sys
sys.path[:0] = {path}
backend = importlib.import_module({module})
for name in {attributes}:
    backend = getattr(backend, name)
missing = []
for requirement in getattr(backend, "get_requires_for_build_wheel", lambda settings: [])(None):
    name = re.split(r"[^-._A-Za-z0-9]", requirement)[0]
    if re.search(r";.*\\bextra\\b", requirement):  # of an optional group, which no build requests
        continue
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        missing.append(name)
wheel = None if missing else backend.build_wheel({output}, None)
with open({result_file}, "w", encoding="utf-8") as file:
    json.dump({{"missing": missing}} if missing else {{"wheel": os.fspath(wheel)}}, file)
"""


def unpack(archive: Path, directory: Path) -> Path:
    """Unpack a source archive, and return its only top-level directory. Raises BentoError for an invalid archive."""
    from rules_bento.base.archives import streams
    from rules_bento.base.archives import unpack as unpacking

    with archive.open("rb") as file:
        form = streams.detect_form(file.read(512))
    limits = unpacking.Limits(size=_MAX_SOURCE_BYTES, same_letters=True, hard_links=True)
    unpacking.extract(archive, form, directory, limits)  # type: ignore[arg-type]  # writes: own, of the caller
    entries = [entry for entry in directory.iterdir() if entry.is_dir()]
    if len(entries) != 1:
        raise BentoError(f"expected one top-level directory, got {len(entries)}", place=archive.name, remedy=_REMEDY)
    return entries[0]


def build(source: Path, scratch: Path, roots: Sequence[Path], version: str) -> Path:
    """Build a wheel with the build requirements in `roots`. Returns the wheel's path. Raises BentoError on failure."""
    python = make_environment(scratch / "environment", roots).absolute()
    output, result_file = scratch / "wheels", scratch / "result.json"
    output.mkdir()  # writes: own, a constant name in `scratch`
    hook = hook_code(source, source.absolute(), output.absolute(), result_file.absolute())
    process = subprocess.run(
        # Without -I, which ignores PYTHONHASHSEED. The project in the current directory runs in any case.
        [str(python), "-B", "-X", "utf8", "-c", hook],
        check=False,
        capture_output=True,
        cwd=source,
        env=build_variables(python, scratch, version),
        stdin=subprocess.DEVNULL,
    )
    if process.returncode or not result_file.is_file():
        printed = (process.stdout + process.stderr).decode("utf-8", "replace").replace(str(scratch), "")
        log = "\n".join(printed.strip().splitlines()[-40:])
        raise BentoError(
            "the build failed. Builds can use only the locked build requirements and the programs in /usr/bin, and "
            "have no network access",
            remedy="Add missing packages to the requirements of build_lock (default: lock) of bento.pypi, update this "
            f"lock, or lock a version that has a wheel. Build log:\n{log}",
        )
    name = wheel_name(read_file(result_file), "of build_lock (default: lock) of bento.pypi, and update this lock.")
    if not (output / name).is_file():
        raise _absent(name)
    return output / name


def hook_code(source: Path, copy: Path, output: Path, result_file: Path) -> str:
    """Return Python code that builds the project in `source` at its path `copy`, and describes the wheel in a file."""
    module, attributes, directories = _backend(source)
    path = [str(copy / directory) for directory in directories]
    files = {"result_file": repr(str(result_file)), "output": repr(str(output))}
    return _HOOK.format(**files, module=repr(module), attributes=attributes, path=path)


def wheel_name(result: bytes, requirements: str) -> str:
    """Return the file name in the result of `hook_code`. Raises BentoError for missing requirements.

    The remedy is to add them to the requirements that `requirements` specifies.
    """
    from rules_bento.base.formats import schema
    from rules_bento.base.formats.json import read_object

    values = read_object(result, "the build backend")
    schema.validate(values, {"missing?": [str], "wheel?": str}, "the build backend", _REMEDY)
    if values.get("missing"):
        names = ", ".join(values["missing"])
        raise BentoError(f"the build backend requires {names}. Add {names} to the requirements {requirements}")
    name: str = values.get("wheel", "")
    if not _WHEEL.fullmatch(name):
        raise _absent(name)
    return name


def _absent(name: str) -> BentoError:
    return BentoError(f"the build backend reported a wheel that doesn't exist: {name[:200]!r}. {_REMEDY}")


def check(wheel: Path, distribution: str, version: str, python_version: str, platform: str) -> None:
    """Raise BentoError if a wheel doesn't match the lock, the Python version, or the platform."""
    name, built = wheel.name.split("-")[:2]
    python, abi, machines = wheel.stem.split("-")[-3:]
    if normalize_name(name) != distribution or not is_same_version(built.replace("_", "-"), version):
        remedy = "Update the lock, or lock another version of the package."
        raise BentoError(f"the built wheel is {name} {built}, but the lock has {distribution} {version}", remedy=remedy)
    if not _supports_python(python, abi, python_version):
        raise BentoError(
            f"the built wheel is for {python}-{abi}, not for cp{python_version.replace('.', '')}, because builds use "
            "the toolchain's interpreter",
            remedy=f"Set bento_tools.python(version = {python_version!r}).",
        )
    if "musllinux" in machines or not matches_platform(machines, platform):
        remedy = f"Build on {platform}, or lock a version that has a wheel for this platform."
        raise BentoError(f"the built wheel is for {machines}, not for {platform}", remedy=remedy)


def _supports_python(python: str, abi: str, version: str) -> bool:
    """Return whether CPython `version` supports wheels with the tags `python` and `abi`."""
    from packaging.tags import parse_tag

    return not parse_tag(f"{python}-{abi}-it").isdisjoint(supported_tags(version, ["it"]))


def repack(wheel: Path, output: Path) -> None:
    """Copy a wheel to `output` with sorted, uncompressed entries, fixed times and modes, and a new RECORD."""
    from rules_bento.base.archives import zipread

    bounds = zipread.Bounds(_MAX_RATIO, _MIN_RATIO_BYTES)
    with wheel.open("rb") as file:
        built = zipread.FileZip(file, wheel.name, bounds)
        entries = {entry.path: entry for entry in built.members() if not entry.is_directory}
        records = [name for name in entries if name.endswith(".dist-info/RECORD") and name.count("/") == 1]
        if len(records) != 1:
            raise BentoError(f"expected one RECORD file, got {len(records)}", place=wheel.name, remedy=_REMEDY)
        entries.pop(records[0])
        members = {
            name: WheelFile(entry.size, bool(entry.mode & 0o111), partial(built.contents, entry))
            for name, entry in entries.items()
        }
        write_wheel(output, members, records[0])  # writes: output, of the caller


class WheelFile(NamedTuple):
    """A file to add to a wheel. `size` is in bytes. `read` returns the content in chunks."""

    size: int
    is_executable: bool
    read: Callable[[], Iterable[bytes]]


def write_wheel(output: Path, members: Mapping[str, WheelFile], record: str) -> None:
    """Write a wheel with sorted, uncompressed entries, fixed times and modes, and a RECORD at the path `record`."""
    import zipfile

    rows: list[tuple[str, str, object]] = []
    with zipfile.ZipFile(output, "w") as archive:  # writes: output that follows links, of the caller
        for name in sorted(members, key=lambda name: (".dist-info/" in name, name)):
            member = members[name]
            entry = _entry(name, 0o755 if member.is_executable else 0o644)
            entry.file_size = member.size
            hasher = hashlib.sha256()
            with archive.open(entry, "w") as file:
                for chunk in member.read():
                    hasher.update(chunk)
                    file.write(chunk)
            digest = base64.urlsafe_b64encode(hasher.digest()).rstrip(b"=").decode()
            rows.append((name, f"sha256={digest}", member.size))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*rows, (record, "", "")])
        archive.writestr(_entry(record, 0o644), text.getvalue())


_NAMESPACE = b"# __path__ manipulation added by bazel"  # rules_python adds these modules to namespace packages
_LAST = ("INSTALLER", "RECORD", "REQUESTED")  # files that installers write
_SCHEMES = {"bin": "scripts", "data": "data", "include": "headers"}  # directories of rules_python


def pack_installed(files: Mapping[str, Path], output: Path, python_version: str) -> None:
    """Create a wheel from a package that rules_python installed.

    `files` maps installed paths, such as `site-packages/acme/a.py`, to files. Raises BentoError if the package doesn't
    support the Python version.
    """
    [dist_info] = [
        path.split("/")[1] for path in files if re.fullmatch(r"site-packages/[^/]+\.dist-info/METADATA", path)
    ]
    tags = files.get(f"site-packages/{dist_info}/WHEEL")
    _check_tags(dist_info, tags.read_text("utf-8", "replace") if tags else "", python_version)
    points = files.get(f"site-packages/{dist_info}/entry_points.txt")
    commands = set(re.findall(r"(?m)^([\w.-]+)\s*=", points.read_text("utf-8", "replace"))) if points else set()
    ignored = {f"site-packages/{dist_info}/{name}" for name in _LAST} | {f"bin/{name}" for name in commands}
    members: dict[str, WheelFile] = {}
    for path, file in files.items():
        directory, _, rest = path.partition("/")
        with file.open("rb") as opened:
            begin = opened.read(len(_NAMESPACE))
        if path in ignored or path.endswith(".pyc") or (begin == _NAMESPACE and path.endswith("/__init__.py")):
            continue
        scheme = _SCHEMES.get(directory)
        name = f"{dist_info.removesuffix('.dist-info')}.data/{scheme}/{rest}" if scheme else rest
        # Inputs of remote actions are all executable, so the mode of a file isn't usable.
        is_program = begin.startswith(b"#!") or (begin.startswith(b"\x7fELF") and ".so" not in file.name)
        members[name] = WheelFile(file.stat().st_size, is_program, partial(_contents, file))
    write_wheel(output, members, f"{dist_info}/RECORD")  # writes: output, of the caller


def _check_tags(dist_info: str, text: str, python_version: str) -> None:
    tags = [tag.split("-") for tag in re.findall(r"(?m)^Tag:\s*(\S+-\S+-\S+?)\s*$", text)]
    if tags and not any(_supports_python(python, abi, python_version) for python, abi, _ in tags):
        problem = f"the installed package is for {'-'.join(tags[0])}, not for Python {python_version}"
        remedy = "Set python_version to the version of the package hub."
        raise BentoError(problem, place=dist_info.removesuffix(".dist-info"), remedy=remedy)


def _contents(file: Path) -> Iterator[bytes]:
    from rules_bento.base.archives.streams import pieces

    with file.open("rb", buffering=0) as opened:
        yield from pieces(opened)


def _entry(name: str, mode: int) -> zipfile.ZipInfo:
    import zipfile

    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = 3
    entry.external_attr = (0o100000 | mode) << 16
    return entry


def _backend(source: Path) -> tuple[str, list[str], list[str]]:
    """Return a build backend's module, attribute names, and import paths. Raises BentoError for invalid settings."""
    from rules_bento.base.formats import schema
    from rules_bento.base.formats.toml import read_toml

    project = source / "pyproject.toml"
    document = read_toml(read_file(project), project.name) if project.is_file() else {}
    schema.validate(document, _BUILD_SYSTEM, project.name, _REMEDY)
    table = document.get("build-system", {})
    backend = table.get("build-backend", "setuptools.build_meta:__legacy__")
    if not _MODULE.fullmatch(backend):
        problem = f"build-backend: {backend[:200]!r} isn't a valid module name"
        raise BentoError(problem, place=project.name, remedy=_REMEDY)
    directories = table.get("backend-path", [])
    for directory in directories:
        if directory.startswith("/") or ".." in directory.split("/") or not (source / directory).is_dir():
            place = f"{project.name}: backend-path"
            remedy = _REMEDY
            raise BentoError(f"{directory[:200]!r} isn't a directory in the source archive", place=place, remedy=remedy)
    module, _, attribute = backend.partition(":")
    names = [name for name in attribute.split(".") if name]
    return module, names, directories


def build_variables(python: Path, scratch: Path, version: str) -> dict[str, str]:
    """Return the environment variables of a build. `version` is of the project."""
    flags = f"-g0 -ffile-prefix-map={scratch}=/build"
    return {
        "CFLAGS": flags,
        "CXXFLAGS": flags,
        "HOME": str(scratch),
        "LC_ALL": "C.UTF-8",
        "PATH": f"{python.parent}{os.pathsep}/usr/bin{os.pathsep}/bin",
        "PYTHONHASHSEED": "0",
        # Tools such as setuptools_scm get the version from git, which source archives lack.
        "SETUPTOOLS_SCM_PRETEND_VERSION": version,
        "SOURCE_DATE_EPOCH": _SOURCE_DATE,
        "TMPDIR": str(scratch),
        "TZ": "UTC",
        "VIRTUAL_ENV": str(python.parent.parent),
    }
