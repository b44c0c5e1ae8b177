"""Asks uv whether a `uv.lock` is current.

uv runs without a network, with an empty cache, and with a script in place of Python. If the system has Landlock, uv
reads only the project and its path sources. The user's cache keeps that a lock is current, by a digest of what uv read.

If the answer requires the build back end of a project, uv runs again, with a network for the back end's requirements,
and the back end runs in isolation (`isolated_hooks`).
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
from rules_bento.base.landlock import Reach
from rules_bento.base.net.secret_hosts import are_safe
from rules_bento.base.own_files import TreeWriter, digest_path, own_directory, user_cache_directory
from rules_bento.base.typing_lite import TYPE_CHECKING, Collection, Iterable, Iterator, Mapping, Sequence
from rules_bento.bentos.packages import uv
from rules_bento.bentos.packages.lock_format import regular_file
from rules_bento.bentos.packages.uv_inputs import LockInputs, texts
from rules_bento.bentos.packages.uv_settings import COPIED, OF_MACHINE, to_toml
from rules_bento.bentos.packages.virtualenv import Interpreter
from rules_bento.bentos.service.import_twice import isolation_problem

from bento_cli.projects.isolated_hooks import isolated_hooks
from bento_cli.projects.project_reach import tree
from bento_cli.projects.uv_project import (
    DIRECTORIES,
    LOCK,
    PYPROJECT,
    UvProject,
    member_directories,
    outside_error,
    read_tables,
    settings_in,
)

if TYPE_CHECKING:
    import subprocess

_WORDS = ("lock", "--check", "--verbose", "--color=never")
_VARIABLES = re.compile("UV_(EXCLUDE_NEWER|FORK_STRATEGY|INDEX_STRATEGY|PRERELEASE|RESOLUTION)")
_SECONDS = 60
# uv's message with `--verbose`: why it resolves again.
_CHANGE = re.compile(r"existing lockfile due to (.+)((?:\n  (?:Requested|Existing): .*)*)")
_STALE = "the lock isn't current"
_ERROR = re.compile(r"(?m)^error: (.+(?:\n.+)*)")
# uv's errors for dynamic fields, which only the build back end has, and without the back end's requirements.
_UNKNOWN = re.compile("Failed to (inspect Python interpreter|resolve requirements from)|The build backend returned")
_NO_REQUIREMENTS = re.compile("Failed to resolve requirements from")


def check(project: UvProject, remedy: str = "Run `uv lock` in the project.") -> list[str]:
    """Raise BentoError if the lock of a project isn't current, with the reason of uv.

    Returns a note if uv needs the build back end of a project, and can't have it. Readers of the locks of other tools
    have compared these with the project. The root of the project is absolute.
    """
    root, lock = project.root, project.lock
    if project.lock_name != LOCK:
        return []
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
    above = [*settings_above(root)]
    contents = [[str(path), landlock.outside(read_file, path).decode(errors="replace")] for path in above]
    key = [_WORDS, program, status.st_size, status.st_mtime_ns, settings, variables, contents, *map(str, members)]
    files = {root / LOCK, *settings_files([root, *members, *named]), *named}
    digest = _digest(key, files)
    cache = user_cache_directory()
    record = digest_path(cache / "native" / "locks", digest) if cache else None
    if record and record.is_file():
        return []
    python = allowed_python([root, *members], str(lock["requires-python"]))
    reads = [*map(tree, {root, *named}), *above]
    done, unknown = _ask(program, root, reads, settings, variables, python), _UNKNOWN
    is_static = not (done.returncode and unknown.search(done.stderr)) or _STALE in _reason(done)
    obstacle = "" if is_static else setting_of_machine([root, *members]) or isolation_problem()
    if not is_static and not obstacle:
        done, unknown = _ask_back_ends(program, root, [*members, *named], reads, python), _NO_REQUIREMENTS
    if done.returncode and ("\nerror: " in f"\n{done.stderr}" or not uv.ignores_settings(done.stderr)):
        reason, where = printable(without_credentials(_reason(done))), str(root / LOCK)
        if unknown.search(reason):
            reason += f" (without isolation: {obstacle})" if obstacle else ""
            return [f"{where}: uv can't check the lock: {reason}. If the project changed, run `uv lock`."]
        raise BentoError(reason, place=where, remedy=remedy if reason.startswith(_STALE) else _uv_remedy(reason))
    if record and is_static and _digest(key, files) == digest:  # nothing changed meanwhile
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


def settings_files(directories: Iterable[Path]) -> set[Path]:
    """Return the files in which uv looks for settings and workspaces, in directories and their parents in the tree."""
    pairs = [(directory, tree(directory)) for directory in directories]
    every = {each for start, root in pairs for each in (start, *start.parents) if each.is_relative_to(root)}
    return {directory / name for directory in every for name in (PYPROJECT, "uv.toml")}


def settings_above(root: Path) -> Iterator[Path]:
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
        document = read_tables(path, {"project?": {"requires-python?": str}}, read_file)
        ranges += [*filter(None, [document.get("project", {}).get("requires-python")])]
    text = ",".join(ranges) or default
    versions = [Interpreter.own().release(3)]  # which can run a build back end
    versions += [f"3.{minor}.{patch}" for minor in range(6, 100) for patch in (0, 99)]
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
            "UV_PROJECT_ENVIRONMENT": f"{home}/environment",  # otherwise, uv runs the interpreter in `.venv`
            "XDG_CONFIG_HOME": f"{scratch}/settings",
        }
        words = [program, *_WORDS, "--offline", "--no-python-downloads", "--python", f"{scratch}/settings/python"]
        run = uv.Run(words, None, root, config="project", variables=variables, attempts=("",), seconds=_SECONDS)
        reach = Reach([scratch], [*landlock.SYSTEM, program, scratch, *reads], has_network=False)
        return uv.start(run._replace(reach=reach))


def _ask_back_ends(
    program: str, root: Path, directories: Iterable[Path], reads: Sequence[Path], python: str
) -> subprocess.CompletedProcess[str]:
    """Run `uv lock --check` with a network and the user's cache. Raises BentoError for an unsafe index."""
    inputs = LockInputs(root, "Use the https:// URL of an index, or a directory in the project.", allows_http=True)
    indexes = [*declared_indexes({root: None, **dict.fromkeys(directories)})]
    for _, address in indexes:
        inputs.location(address, str(root))
    access = uv.Access(indexes, is_safe=are_safe([address for _, address in indexes], ()))
    with isolated_hooks([root, *directories], python) as call:
        run = uv.Run([program, *_WORDS], access, root, "project", python=python, attempts=uv.CACHE_FIRST, call=call)
        return uv.start(run._replace(reach=uv.reach(reads, access)))


def setting_of_machine(directories: Iterable[Path]) -> str:
    """Return a setting of a project that could send the user's logins elsewhere, or an empty string."""
    tables = ((path, settings_in(path)) for each in directories for path in (each / PYPROJECT, each / "uv.toml"))
    return next((f"{path}: {key}" for path, table in tables for key in OF_MACHINE if key in table), "")


def declared_indexes(directories: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Yield names and addresses of indexes in the settings of projects."""
    for path in (directory / name for directory in directories for name in (PYPROJECT, "uv.toml")):
        table = settings_in(path)
        yield from ((str(each.get("name", "")), str(each.get("url", ""))) for each in table.get("index", ()))
        keys = ("index-url", "extra-index-url", "find-links")
        yield from (("", address) for address in texts([table.get(key) for key in keys]))


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return why uv rejects a lock, or fails."""
    error, change = _ERROR.search(done.stderr), _change(done.stderr)
    return f"{_STALE}: {change}" if change else error[1] if error else f"uv failed with status {done.returncode}"


def _uv_remedy(reason: str) -> str:
    """Return the advice for a version of uv that the project doesn't allow, or "": uv's words are enough."""
    if not (required := re.match("Required uv version `([^`]+)`", reason)):
        return ""
    python, package = shlex.quote(sys.executable), shlex.quote(f"uv{required[1]}")
    return f"Install such a version next to `bento`, with `uv pip install --no-config --python {python} {package}`."


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
