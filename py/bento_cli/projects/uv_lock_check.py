"""Asks uv whether a `uv.lock` is current.

uv runs without a network, with an empty cache, and with a script in place of Python, so that it can't run code of the
project. If the system has Landlock, uv reads only the project and its path sources. The user's cache keeps that a
lock is current, by a digest of what uv reads.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import sys
from contextlib import suppress
from pathlib import Path

from rules_bento.base import landlock
from rules_bento.base.display import printable, without_credentials
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.formats.schema import validate
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.landlock import Reach
from rules_bento.base.own_files import TreeWriter, digest_path, own_directory, user_cache_directory
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Collection, Iterable, Iterator, Mapping, Sequence
from rules_bento.bentos.packages import uv
from rules_bento.bentos.packages.lock_format import regular_file
from rules_bento.bentos.packages.requirement_syntax import normalize_name, requirement_name
from rules_bento.bentos.packages.uv_settings import COPIED, to_toml

from bento_cli.projects.project_reach import tree
from bento_cli.projects.uv_project import DIRECTORIES, LOCK, PYPROJECT, member_directories, outside_error

if TYPE_CHECKING:
    import subprocess

_WORDS = ("lock", "--check", "--offline", "--no-python-downloads", "--color=never")
_VARIABLES = re.compile("UV_(EXCLUDE_NEWER|FORK_STRATEGY|INDEX_STRATEGY|PRERELEASE|RESOLUTION)")
_SECONDS = 60
# uv's messages with `RUST_LOG=uv=debug`: why it resolves again, and static fields that changed in a project with a
# dynamic version, whose other fields only the build back end has.
_CHANGE = re.compile(r"existing lockfile due to (.+)((?:\n  (?:Requested|Existing): .*)*)")
_CHANGED_FIELD = re.compile("Static `([a-z-]+)` for `([^ =`]+).*` is out-of-date")
_STALE = "the lock isn't current"
_ERROR = re.compile(r"(?m)^error: (.+(?:\n.+)*)")
# uv's errors for dynamic fields, which only the build back end has, and for a stand-in that a later version rejects.
_UNKNOWN = re.compile("Failed to (inspect Python interpreter|resolve requirements from)|The build backend returned")


def check(root: Path, lock: Mapping[str, Any], remedy: str = "Run `uv lock` in the project.") -> list[str]:
    """Raise BentoError if the `uv.lock` of a workspace isn't current, with the reason of uv.

    Returns a note if the comparison requires the build back end of a project. `root` is absolute.
    """
    program = os.path.realpath(uv.require_uv("checks the lock"))
    settings = _user_settings()
    variables = {name: value for name, value in os.environ.items() if _VARIABLES.fullmatch(name)}
    members = member_directories(root)
    named = {
        Path(os.path.normpath(root / str(path))): kind
        for package in lock["package"]
        for kind, path in package["source"].items()
        if kind in (*DIRECTORIES, "path", "registry") and "://" not in str(path)
    }
    for path, kind in named.items():
        if kind in DIRECTORIES and not path.resolve().is_relative_to(tree(root)):  # otherwise, it can't be read
            raise outside_error(root, path, lock)
    projects = [directory / PYPROJECT for directory in (root, *members, *named)]
    archives = [path for path in named if named[path] == "path"]
    for path in named:
        if named[path] in DIRECTORIES and path.is_dir() and not landlock.outside(os.listdir, path):
            remedy = "If it is a Git submodule, run `git submodule update --init`."
            raise BentoError("the directory of a package is empty", place=str(path), remedy=remedy)
    for path in (*archives, *filter(Path.exists, [root / "uv.toml", *projects])):
        regular_file(path)
    status = Path(program).stat()
    above = [*_settings_above(root)]
    texts = [[str(path), landlock.outside(read_file, path).decode(errors="replace")] for path in above]
    key = [_WORDS, program, status.st_size, status.st_mtime_ns, settings, variables, texts, *map(str, members)]
    files = {root / LOCK, *_settings_files([root, *members, *named]), *named}
    digest = _digest(key, files)
    cache = user_cache_directory()
    record = digest_path(cache / "native" / "locks", digest) if cache else None
    if record and record.is_file():
        return []
    python = allowed_python([root, *members], str(lock["requires-python"]))
    reads = [*map(tree, {root, *named}), *above]
    done = _ask(program, root, reads, settings, variables, python)
    is_error = "\nerror: " in f"\n{done.stderr}" or not uv.ignores_settings(done.stderr)
    if done.returncode and is_error:
        reason, is_verdict = _reason(done, projects, lock["package"])
        reason, where = printable(without_credentials(reason)), str(root / LOCK)
        if is_verdict:
            raise BentoError(reason, place=where, remedy=remedy if reason.startswith(_STALE) else _uv_remedy(reason))
        return [f"{where}: {reason}. If the project changed, run `uv lock`, which runs its code."]
    if record and _digest(key, files) == digest:  # nothing changed meanwhile
        with suppress(OSError):
            landlock.outside(_add, record)
    return []


def _add(record: Path) -> None:
    record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # writes: own, the user's cache
    record.touch()  # writes: digest, of what uv read


def _user_settings() -> list[str]:
    """Return the user's settings that change a lock as lines of uv.toml, without logins.

    A lock can be from PyPI or from an index of the user, so uv gets also the user's default index as a further one.
    """
    indexes: dict[str, dict[str, str]] = {}
    for name, address in uv.indexes_of_user():
        if url := re.sub("://[^/]*@", "://", address):
            indexes[name or url] = {"name": name, "url": url} if name else {"url": url}
    found = uv.user_configuration()
    chosen = {**{key: found[key] for key in COPIED if key in found}, "index": [*indexes.values()]}
    return [f"{key} = {to_toml(value, 'the settings of uv')}" for key, value in chosen.items()]


def _settings_files(directories: Iterable[Path]) -> set[Path]:
    """Return the files in which uv looks for settings and workspaces, in directories and their parents in the tree."""
    pairs = [(directory, tree(directory)) for directory in directories]
    every = {each for start, root in pairs for each in (start, *start.parents) if each.is_relative_to(root)}
    return {directory / name for directory in every for name in (PYPROJECT, "uv.toml")}


def _settings_above(root: Path) -> Iterator[Path]:
    """Yield the user's and the system's settings files above the tree of a workspace."""
    for directory in tree(root).parents:
        for path in (directory / PYPROJECT, directory / "uv.toml"):
            if path.is_file() and path.stat().st_uid in (0, os.geteuid()):
                yield path


def _digest(key: object, files: Iterable[Path]) -> str:
    """Return a digest of a value and of files. Archives, whose digests are in the lock, count with size and time."""
    digest = hashlib.sha256(json.dumps(key).encode())
    for path in sorted(files):
        if path.is_file():
            status = path.stat()
            is_read = path.suffix in (".lock", ".toml")
            content = read_file(path) if is_read else f"{status.st_size} {status.st_mtime_ns}".encode()
            digest.update(json.dumps([str(path), len(content)]).encode() + content)
    return digest.hexdigest()


def allowed_python(directories: Iterable[Path], default: str) -> str:
    """Return a Python version that all projects in directories allow, or that the range `default` of a lock allows."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    ranges = []
    for path in (directory / PYPROJECT for directory in directories):
        document = read_toml(read_file(path), str(path)) if path.is_file() else {}
        validate(document, {"project?": {"requires-python?": str}}, str(path), "Correct the file.")
        ranges += [*filter(None, [document.get("project", {}).get("requires-python")])]
    text = ",".join(ranges) or default
    versions = [f"3.{minor}.{patch}" for minor in range(6, 100) for patch in (0, 99)]
    versions += re.findall(r"\d+\.\d+(?:\.\d+)?", text)
    try:
        allowed = SpecifierSet(text)
    except InvalidSpecifier:  # uv reports it
        return versions[-1]
    return next((version for version in versions if version in allowed), versions[-1])


def _ask(
    program: str,
    root: Path,
    reads: Collection[Path],
    settings: Sequence[str],
    variables: Mapping[str, str],
    python: str,
) -> subprocess.CompletedProcess[str]:
    """Run `uv lock --check`, which can read only the projects, and has no network, if the system has Landlock."""
    from rules_bento.bentos.packages.fake_interpreter import write_fake_interpreter

    with own_directory("bento-lock-") as scratch, TreeWriter(scratch) as files:
        files.directory("home")
        files.file("settings/uv/uv.toml", [f"{line}\n".encode() for line in settings])
        write_fake_interpreter(scratch / "settings/python", python)
        home = str(scratch / "home")
        variables = {
            **variables,
            **dict.fromkeys(("HOME", "PATH", "TMPDIR", "UV_CACHE_DIR"), home),
            **dict.fromkeys(("UV_NATIVE_TLS", "UV_SYSTEM_CERTS"), "false"),  # uv would read the system's certificates
            "RUST_LOG": "uv=debug",
            "UV_PROJECT_ENVIRONMENT": f"{home}/environment",  # otherwise, uv runs the interpreter in `.venv`
            "XDG_CONFIG_HOME": f"{scratch}/settings",
        }
        return uv.start(
            [program, *_WORDS, "--python", f"{scratch}/settings/python"],
            None,
            root,
            config="project",
            variables=variables,
            attempts=("",),
            seconds=_SECONDS,
            reach=Reach([scratch], [*landlock.SYSTEM, program, scratch, *reads], has_network=False),
        )


def _reason(
    done: subprocess.CompletedProcess[str], projects: Iterable[Path], packages: Iterable[Mapping[str, Any]]
) -> tuple[str, bool]:
    """Return why uv rejects a lock, and whether that is a verdict on the lock. `projects` are pyproject.toml files."""
    error, field, change = _ERROR.search(done.stderr), _CHANGED_FIELD.search(done.stderr), _change(done.stderr)
    failure = error[1] if error else f"uv failed with status {done.returncode}"
    metadata = [each.get("metadata", {}) for each in packages if field and each["name"] == field[2]]
    recorded = {one["name"] for each in metadata for one in each.get("requires-dist", ())}
    required, is_expanded = _requirements(projects, field[2]) if field else (set(), False)
    # Extras and names of requirements are as in pyproject.toml in any case.
    is_open = is_expanded and field and field[1] == "requires-dist" and not (required ^ recorded) - {field[2]}
    if _UNKNOWN.search(failure) and not change and (not field or is_open):
        return f"uv can't check the lock without running code ({failure.splitlines()[0]})", False
    if field and not change:
        change = f"mismatched {field[1]} for: `{field[2]}`{_listed(required ^ recorded)}"
    return f"{_STALE}: {change}" if change else failure, True


def _uv_remedy(reason: str) -> str:
    """Return the advice for a version of uv that the project doesn't allow, or "": uv's words are enough."""
    if not (required := re.match("Required uv version `([^`]+)`", reason)):
        return ""
    python, package = shlex.quote(sys.executable), shlex.quote(f"uv{required[1]}")
    return f"Install such a version next to `bento`, with `uv pip install --no-config --python {python} {package}`."


def _requirements(paths: Iterable[Path], name: str) -> tuple[set[str], bool]:
    """Return the names of the requirements in the pyproject.toml of a project, which uv has read.

    Also returns whether hatchling replaces `NAME[extra]` in extras of the project, so that the lock has requirements.
    """
    documents = [read_toml(read_file(path), str(path)) for path in paths if path.is_file()]
    tables = [each for each in documents if normalize_name(str(each.get("project", {}).get("name", ""))) == name]
    extras = [some for each in tables for some in each["project"].get("optional-dependencies", {}).values()]
    found = [each["project"].get("dependencies", ()) for each in tables] + extras
    names = {requirement_name(text) for some in found for text in some}
    return names, name in names and "hatchling" in str([each.get("build-system") for each in tables])


def _listed(names: Iterable[str]) -> str:
    return f" ({', '.join(sorted(names))})" if names else ""


def _change(errors: str) -> str:
    """Return what changed since uv wrote the lock, with the names of changed requirements, or ""."""
    if not (match := _CHANGE.search(errors)):
        return ""
    change = re.split(r":? `\w+\(|:$", match[1])[0]  # without values that aren't for people
    sets = [{*re.split(", (?=Requirement )", line)} for line in re.findall(": {(.*)}", match[2])]
    names = re.findall(r'name: PackageName\("([^"]+)"', "".join(set.symmetric_difference(*sets) if sets else ()))
    return change + _listed({*names})
