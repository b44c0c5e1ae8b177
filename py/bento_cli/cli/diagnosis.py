"""Implements the checks of `bento doctor`, which finds problems with a machine and a workspace."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from rules_bento.base.dataclasses_lite import dataclass
from rules_bento.base.display import without_credentials
from rules_bento.base.errors import BentoError, page
from rules_bento.base.formats import read_file, split_lines
from rules_bento.base.own_files import own_directory
from rules_bento.base.programs import DOCKER_PROBE, LOADERS, which
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterator, Mapping
from rules_bento.bentos.packages.uv import Access, find_uv, start

if TYPE_CHECKING:
    from bento_cli.projects.workspace import Workspace
    from bento_cli.store.home import Home

OK, WARNING, ERROR = "ok", "warning", "error"

OLDEST_BAZEL = (7, 7, 1)
"""The minimum version in `bazel_compatibility` in MODULE.bazel."""
OLDEST_RULES_PYTHON = "0.40.0"
"""The version of rules_python that MODULE.bazel depends on."""
_DEFAULT_PYTHON = "3.11"  # rules_python registers an interpreter for this version by default

_TIMEOUT = 60  # seconds, for a program
_SMALL_DISK = 2 << 30  # bytes
# A module of each extra of rules-bento-cli.
_EXTRAS = {
    "dropbox": "dropboxdrivefs",
    "huggingface": "huggingface_hub",
    "keyless": "sigstore",
    "remote-cache": "h2",
    "s3, azure, gs": "obstore",
    "sftp": "paramiko",
    "signing": "cryptography",
}
_BENTOML = "lib/python3*/site-packages/bentoml/__init__.py"
_BAZEL_DEP = 'bazel_dep(name = "rules_bento", version = "...")'


@dataclass(frozen=True)
class Finding:
    """The result of a check, and a remedy if there is a problem."""

    about: str
    state: str
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class HostEnvironment:
    """The machine to check: its workspace and environment variables."""

    root: Path | None  # root of the workspace
    variables: Mapping[str, str]

    def which(self, program: str) -> str | None:
        """Return the path of a program on PATH, or None if the program isn't on PATH."""
        return which(program, self.variables.get("PATH", ""))

    def is_outside(self, program: str) -> bool:
        """Return whether a program is outside of the workspace. `bento doctor` starts no programs in the workspace."""
        root = self.root.resolve() if self.root else None
        path = Path(program)
        return not root or not any(root in parents.parents for parents in (path.absolute(), path.resolve()))

    def output(self, command: list[str]) -> str:
        """Return the output of a command, or "" if the command fails or its program is in the workspace."""
        if not self.is_outside(command[0]):
            return ""
        try:
            # In /, because Debian's `bazel` starts tools/bazel of the current workspace.
            done = subprocess.run(command, check=False, capture_output=True, cwd="/", text=True, timeout=_TIMEOUT)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    def bazelrc(self) -> str:
        """Return the lines of .bazelrc and user.bazelrc in the workspace, and of ~/.bazelrc. Omits comments."""
        home = self.variables.get("HOME")
        files = [self.root / name for name in (".bazelrc", "user.bazelrc")] if self.root else []
        files += [Path(home, ".bazelrc")] if home else []
        lines = [line for path in files if path.is_file() for line in split_lines(_text(path))]
        return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def diagnose(host: HostEnvironment, *, online: bool = False) -> list[Finding]:
    """Run all checks, and return the findings.

    Raises BentoError if MODULE.bazel or a lock is invalid, or if the check of the package index can't run.
    """
    findings = [bazel(host), builders(host)]
    if host.root is None:
        findings.append(Finding("workspace", OK, "no MODULE.bazel here or above"))
    else:
        findings += [*workspace(host, host.root), cache(host)]
    return findings + ([index(host)] if online else [])


def command(host: HostEnvironment, home: Home) -> list[Finding]:
    """Check what the `bento` command uses: its program, uv, BentoML, extras, logins, the store, and the disk."""
    import shutil
    from importlib.util import find_spec

    from rules_bento.images.registry.auth import searched_files

    from bento_cli.sharing.serving import interpreter

    findings = []
    program = host.which("bento")
    if program and Path(program).parent.resolve() != Path(sys.executable).parent.resolve():
        remedy = f"Change the order of PATH, or run `{sys.executable} -m bento_cli`."
        findings.append(Finding("bento", WARNING, f"{program} on PATH might be another program", remedy))
    uv = find_uv(host.variables.get("PATH", ""))
    remedy = "" if uv else "Install uv, for example with `pip install uv`. `bento build` locks packages with uv."
    findings.append(Finding("uv", OK if uv else WARNING, uv or "uv isn't installed", remedy))
    try:
        # Doesn't run the interpreter, which might be in the workspace.
        python = interpreter(has_bentoml=lambda path: any(path.parent.parent.glob(_BENTOML)))
        findings.append(Finding("bentoml", OK, str(python)))
    except BentoError:
        findings.append(Finding("bentoml", OK, "isn't installed; only serving, imports, and BentoCloud require it"))
    extras = ", ".join(name for name, module in _EXTRAS.items() if find_spec(module)) or "none is installed"
    findings += [Finding("extras", OK, extras), Finding("logins", OK, searched_files()), _store(home)]
    parent = next(path for path in (home.root, *home.root.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(parent).free
    is_small = free < _SMALL_DISK
    remedy = "Delete Bentos with `bento delete`, or caches with `bento cache clean`." if is_small else ""
    findings.append(Finding("disk", WARNING if is_small else OK, f"{free >> 30} GiB are free in {parent}", remedy))
    return findings


def _store(home: Home) -> Finding:
    """Check the names and sizes of the files in a store. The contents might be large."""
    from bento_cli.store.verification import verify_all

    verified = verify_all(home, by_size=True)
    text = f"{len(verified.damages)} damaged in {home.root}"
    if not verified.damages:
        return Finding("store", OK, text)
    remedy = "To list all damage, run `bento verify`. Then build, import, or pull the entries again."
    return Finding("store", ERROR, f"{text}, such as {verified.damages[0]}", remedy)


def _text(path: Path) -> str:
    return read_file(path).decode(errors="replace")


def bazel(host: HostEnvironment) -> Finding:
    """Check the version of Bazel, which comes from USE_BAZEL_VERSION, .bazelversion, or the program on PATH."""
    oldest = ".".join(map(str, OLDEST_BAZEL))
    if "BUILD_WORKSPACE_DIRECTORY" in host.variables:
        return Finding("bazel", OK, "runs this command")
    program = host.which("bazelisk") or host.which("bazel")
    if not program and not (host.root and (host.root / "tools/bazel").is_file()):
        if not host.root:
            return Finding("bazel", OK, "isn't on PATH; only workspaces require it")
        remedy = "Install bazelisk, which downloads the version in .bazelversion."
        return Finding("bazel", ERROR, "neither bazelisk nor bazel is on PATH", remedy)
    file = host.root / ".bazelversion" if host.root else None
    version = host.variables.get("USE_BAZEL_VERSION") or (
        (_text(file).split() or [""])[0] if file and file.is_file() else ""
    )
    remedy = f"Set .bazelversion to {oldest} or newer."
    if host.variables.get("USE_BAZEL_VERSION"):
        remedy = f"Set USE_BAZEL_VERSION to {oldest} or newer, or unset the variable."
    elif not version and program and not _is_bazelisk(program):
        version = host.output([program, "--version"]).removeprefix("bazel ")
        remedy = f"Install bazelisk, and set .bazelversion to {oldest} or newer."
    number = re.match(r"\d+(\.\d+)*", version)
    if not number:
        return Finding(
            "bazel", WARNING, f"the version {version} can't be checked" if version else "no version is selected", remedy
        )
    parts = tuple(map(int, number[0].split(".")))  # `7.x` is the newest 7
    if parts < OLDEST_BAZEL[: len(parts)]:
        return Finding("bazel", ERROR, f"Bazel {version} is too old for rules_bento", remedy)
    if found := re.search(r"--(noenable_bzlmod|enable_bzlmod=(?:false|no|0))\b", host.bazelrc()):
        return Finding("bazel", ERROR, f".bazelrc contains {found[0]}, which disables MODULE.bazel", "Remove the flag.")
    return Finding("bazel", OK, f"Bazel {version}")


def _is_bazelisk(program: str) -> bool:
    """Return whether `program` is bazelisk. The caller doesn't run bazelisk, because this would contact a server."""
    path = Path(program).resolve()
    if path.stem.startswith("bazelisk"):
        return True
    with path.open("rb") as stream:
        return b"bazelisk" in stream.read(64 << 20)


def python(host: HostEnvironment, interpreter: str) -> Finding:
    """Check the host interpreter in MODULE.bazel. If `interpreter` is empty, the build provides an interpreter."""
    if not interpreter:
        return Finding("python", OK, "the build provides an interpreter")
    source = f'bento_tools.python(interpreter = "{interpreter}")'
    remedy = "Install Python 3.10 or newer, or remove `interpreter` to use the interpreter of the build."
    if "/" in interpreter:  # a path might be a program of the project
        if interpreter.startswith("/") and Path(interpreter).is_file():
            return Finding("python", OK, f"{interpreter} of MODULE.bazel (version not checked)")
        return Finding("python", ERROR, f"{source}: not the absolute path of a file", remedy)
    path = host.which(interpreter)
    if not path:
        return Finding("python", ERROR, f"{source}: not on PATH", remedy)
    if not host.is_outside(path):
        return Finding("python", OK, f"{path} in the workspace (version not checked)")
    version = host.output([path, "-I", "-S", "-c", "import sys; print(*sys.version_info[:2], sep='.')"])
    if not re.fullmatch(r"3\.\d+", version) or int(version[2:]) < 10:
        problem = f"is Python {version}" if re.fullmatch(r"[\d.]+", version) else "isn't a Python interpreter"
        return Finding("python", ERROR, f"{path} {problem}", remedy)
    return Finding("python", OK, f"Python {version} of MODULE.bazel")


def builders(host: HostEnvironment) -> Finding:
    """Check whether a container engine is available. Docker requires a running daemon."""
    programs = {name: path for name in LOADERS if (path := host.which(name))}
    usable = [name for name, path in programs.items() if name != "docker" or host.output([path, *DOCKER_PROBE])]
    if usable:
        return Finding("containers", OK, ", ".join(usable))
    remedy = (
        "To load images with bento_load or `bento containerize`, install docker, podman, or nerdctl, or start Docker. "
        "`bento containerize --backend native` pushes images and writes OCI layouts without these programs."
    )
    text = "the Docker daemon isn't responding" if programs else "docker, podman, and nerdctl aren't on PATH"
    return Finding("containers", WARNING, text, remedy)


def cache(host: HostEnvironment) -> Finding:
    """Check whether builds use a cache that other checkouts share."""
    if re.search(r"--(disk_cache|remote_cache)\b", host.bazelrc()):
        return Finding("cache", OK, ".bazelrc sets --disk_cache or --remote_cache")
    remedy = "Add to .bazelrc: common --disk_cache=~/.cache/bazel-disk. For CI, see " + page("ci.md") + "."
    return Finding("cache", WARNING, "no shared cache is set, so other checkouts build everything again", remedy)


def workspace(host: HostEnvironment, root: Path) -> Iterator[Finding]:
    """Check MODULE.bazel, the host interpreter, and the lock of each package hub."""
    from bento_cli.projects.workspace import read_root

    if not (root / "MODULE.bazel").is_file():
        remedy = f"rules_bento requires MODULE.bazel. Create the file with: {_BAZEL_DEP}"
        yield Finding("workspace", ERROR, f"{root.name} has no MODULE.bazel", remedy)
        return
    declared = read_root(root)
    if not declared.has_rules:
        remedy = f"Add to MODULE.bazel: {_BAZEL_DEP}"
        yield Finding("workspace", ERROR, "MODULE.bazel doesn't depend on rules_bento", remedy)
        return
    yield Finding("workspace", OK, f"MODULE.bazel depends on rules_bento (package hubs: {len(declared.hubs)})")
    yield _toolchain(declared) or python(host, declared.interpreter)
    for hub in declared.hubs:
        if hub not in declared.visible.values():
            remedy = f'Add to MODULE.bazel: use_repo({declared.extension}, "{hub}")'
            yield Finding(
                f"name of @{hub}", ERROR, "missing in use_repo, so BUILD files can't use the package hub", remedy
            )
    yield from _locks(root, declared)


def _toolchain(declared: Workspace) -> Finding | None:
    """Return a warning if the Python version in MODULE.bazel requires an undeclared toolchain, otherwise None."""
    version = declared.version
    if not version or version in declared.toolchains or version == _DEFAULT_PYTHON:
        return None
    dependency = f'bazel_dep(name = "rules_python", version = "{OLDEST_RULES_PYTHON}"); '
    dependency = "" if "rules_python" in declared.names else dependency
    remedy = (
        f"If no other module declares this toolchain, add to MODULE.bazel: {dependency}"
        'python = use_extension("@rules_python//python/extensions:python.bzl", "python"); '
        f'python.toolchain(python_version = "{version}")'
    )
    return Finding("python", WARNING, f"MODULE.bazel declares no toolchain for Python {version}", remedy)


def _locks(root: Path, declared: Workspace) -> Iterator[Finding]:
    for hub, label in declared.hubs.items():
        about = f"lock of @{hub}"
        package, _, name = re.sub(r"^@{0,2}//", "", label).partition(":")
        if package.startswith("@") or not name:
            remedy = "To check the lock, set `lock` of bento.pypi to a file of this workspace."
            yield Finding(about, WARNING, f"{label or 'the label'} isn't checked", remedy)
            continue
        path = root / package / name
        target = _target(path)
        update = f"run: bazel run //{package}:{target[0]}" if target else "lock the packages"
        if path.is_dir():
            yield Finding(about, ERROR, f"{label} is a directory", f"Move the directory, and {update}")
        elif not path.is_file() or not path.stat().st_size:
            yield Finding(about, ERROR, f"{label} doesn't exist", f"To create the lock, {update}")
        else:
            yield _freshness(path, Finding(about, OK, f"{label} is up to date"), target, update)


def _target(lock: Path) -> tuple[str, list[str]] | None:
    """Return the target that writes a lock, and its sources, or None if no bento_requirements declares the target."""
    from bento_cli.projects.starlark import keyword_string, string, top_level_calls

    for build in (lock.with_name(name) for name in ("BUILD.bazel", "BUILD")):
        calls = []
        with suppress(BentoError):  # an invalid file
            calls = top_level_calls(_text(build), str(build)) if build.is_file() else []
        for call in (call for function, call, _ in calls if function == "bento_requirements"):
            target = keyword_string(call, "name")
            listed = next((keyword.value for keyword in call.keywords if keyword.arg == "srcs"), None)
            srcs = [string(each) for each in getattr(listed, "elts", ())]
            written = keyword_string(call, "lock") or f"{target}.lock.json"
            if target and srcs and all(srcs) and written == lock.name:
                return f"{target}.update", srcs
    return None


def _freshness(path: Path, fresh: Finding, target: tuple[str, list[str]] | None, update: str) -> Finding:
    """Return `fresh` if the lock is up to date, an error if it is outdated, or an OK finding if it can't be checked."""
    from rules_bento.actions.locks import record_differences
    from rules_bento.bentos.packages import lock_format as locks
    from rules_bento.bentos.packages.requirement_files import RequirementSource, read

    if not target or path.suffix != ".json" or any(name.startswith(("@", "/", ":")) for name in target[1]):
        return Finding(fresh.about, OK, f"{path.name} exists")
    locked = {"requirements": locks.load(path).get("inputs", {}).get("requirements", [])}
    required = read([RequirementSource(path.with_name(name), name) for name in target[1]])
    if differing := record_differences(locked, {"requirements": [*required.requirements]}, required):
        return Finding(
            fresh.about, ERROR, f"outdated: {'; '.join(map(str.strip, differing))}", f"To update the lock, {update}"
        )
    return fresh


def index(host: HostEnvironment) -> Finding:
    """Check with uv whether the package index responds. Raises BentoError if uv can't start or is too slow."""
    uv = find_uv(host.variables.get("PATH", ""))
    if not uv or not host.is_outside(uv):
        return Finding("index", WARNING, "not checked without uv", "Install uv, for example with `pip install uv`.")
    words = [uv, "pip", "compile", "--quiet", "--no-cache", "--no-deps", "--system-certs", "-"]
    with own_directory("rules_bento-doctor-") as scratch:
        try:
            done = start(
                words, Access(), scratch, config="directory", text="packaging\n", attempts=("",), seconds=_TIMEOUT
            )
        except BentoError as error:
            raise error.at("--online") from None
    if done.returncode == 0:
        return Finding("index", OK, "the package index responds")
    reason = without_credentials(" ".join(done.stderr.split())[-400:])
    remedy = f"Set UV_DEFAULT_INDEX, or see {page('locks.md')}."
    return Finding("index", ERROR, f"the package index doesn't respond: {reason}", remedy)
