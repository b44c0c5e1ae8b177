"""Finds what a machine or a workspace lacks, for `bento doctor`."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

from rules_bento.dataclasses_lite import dataclass
from rules_bento.errors import BentoError
from rules_bento.formats import read_file
from rules_bento.net.transport import display_url
from rules_bento.programs import which

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator, Mapping

    from bento_cli.projects.workspace import Workspace

FINE, HINT, MISSING = "fine", "hint", "missing"

OLDEST_BAZEL = (7, 1, 0)
"""What MODULE.bazel says by `bazel_compatibility`."""
OLDEST_RULES_PYTHON = "0.40.0"
"""What MODULE.bazel depends on."""
_DEFAULT_PYTHON = "3.11"  # of which rules_python has an interpreter where no module asks for one

_SECONDS = 60  # that a program has to answer
_AUTHORITIES = (
    "/usr/local/share/ca-certificates",
    "/etc/pki/ca-trust/source/anchors",
    "/etc/ca-certificates/trust-source/anchors",
)
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_PROXY_SECONDS = 5  # that a proxy has to take a connection
# Of `host:port` alone and of https Bazel and uv know what to do; the command takes no other proxies than http.
_HOST_LABEL = r"[A-Za-z0-9_-]{1,63}"  # of a host's name, between points
_PROXY_ADDRESS = re.compile(
    rf"(?:(https?)://)?(?:[^:@/]+(?::[^@/]+)?@)?({_HOST_LABEL}(?:\.{_HOST_LABEL})*\.?)(?::([0-9]{{1,5}}))?/?"
)
_LABEL = re.compile(r"\"@@?([\w.-]+)//([\w-][\w.-]*)")


@dataclass(frozen=True)
class Finding:
    """Tells what was checked, its state, and what to do unless it is fine."""

    about: str
    state: str
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Surroundings:
    """Tells where to look: the workspace, the environment variables, the certificates of authorities."""

    root: Path | None  # of the workspace
    variables: Mapping[str, str]
    authorities: tuple[str, ...] = _AUTHORITIES
    bundle: str = "/etc/ssl/certs/ca-certificates.crt"
    distributed: str = "/usr/share/ca-certificates"  # the authorities that the distribution brings

    def which(self, program: str) -> str | None:
        """Return the path of a program that people would start."""
        return which(program, self.variables.get("PATH", ""))

    def may_start(self, program: str) -> bool:
        """Return whether a program is outside of the workspace, so that it is not one that a project includes."""
        root = self.root.resolve() if self.root else None
        path = Path(program)
        return not root or not any(root in parents.parents for parents in (path.absolute(), path.resolve()))


def diagnose(here: Surroundings, *, online: bool = False) -> list[Finding]:
    """Return what was found. Raises BentoError for a file of the workspace that cannot be read."""
    findings = [bazel(here), builders(here), certificates(here), *proxies(here.variables, online=online)]
    if here.root is None:
        findings.append(
            Finding("workspace", HINT, "no MODULE.bazel here or above", "`bento migrate` prints one for a project.")
        )
    else:
        findings += [*workspace(here, here.root), cache(here)]
    return findings + ([index(here)] if online else [])


def bazel(here: Surroundings) -> Finding:
    """Judge the version that .bazelversion names, else that of the Bazel on PATH; bazelisk would have to fetch one."""
    oldest = ".".join(map(str, OLDEST_BAZEL))
    install = "Install bazelisk: it fetches the version that .bazelversion names."
    if "BUILD_WORKSPACE_DIRECTORY" in here.variables:
        return Finding("bazel", FINE, "it runs this, and took rules_bento")
    program = here.which("bazelisk") or here.which("bazel")
    if not program and not (here.root and (here.root / "tools/bazel").is_file()):
        return Finding("bazel", MISSING, "neither bazelisk nor bazel is on PATH", install)
    wanted = here.variables.get("USE_BAZEL_VERSION") or _first_line(here.root, ".bazelversion")
    newer = f"Write {oldest} or newer to .bazelversion"
    if here.variables.get("USE_BAZEL_VERSION"):
        newer = f"Name {oldest} or newer in USE_BAZEL_VERSION, or unset it"
    elif not wanted and program and not _is_bazelisk(program):
        wanted = _said(here, [program, "--version"]).removeprefix("bazel ")
        newer = f"Install bazelisk, and write {oldest} or newer to .bazelversion"
    number = re.match(r"\d+(\.\d+)*", wanted)
    if not number:
        return Finding("bazel", HINT, f"its version is {wanted or 'not stated'}", f"{newer}.")
    parts = tuple(map(int, number[0].split(".")))  # `7.x` is the newest 7
    if parts < OLDEST_BAZEL[: len(parts)]:
        return Finding("bazel", MISSING, f"Bazel {wanted}, which is too old for rules_bento", f"{newer}.")
    if found := re.search(r"--(noenable_bzlmod|enable_bzlmod=(?:false|no|0))\b", _settings(here)):
        return Finding("bazel", MISSING, f".bazelrc has {found[0]}: no MODULE.bazel is read", "Remove that line.")
    return Finding("bazel", FINE, f"Bazel {wanted}")


def _first_line(root: Path | None, name: str) -> str:
    path = root / name if root else None
    return (read_file(path).decode(errors="replace").split() or [""])[0] if path and path.is_file() else ""


def _is_bazelisk(program: str) -> bool:
    """Return whether a program called bazel is bazelisk, which asks a server for what it is to run."""
    path = Path(program).resolve()
    if path.stem.startswith("bazelisk"):
        return True
    with path.open("rb") as stream:
        return b"bazelisk" in stream.read(64 << 20)


def _said(here: Surroundings, command: list[str]) -> str:
    """Return the output of a program; empty if it fails, or is one of the workspace."""
    if not here.may_start(command[0]):
        return ""
    try:
        # From /, because Debian's `bazel` starts tools/bazel of the workspace that it is in.
        done = subprocess.run(command, check=False, capture_output=True, cwd="/", text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def python(here: Surroundings, interpreter: str) -> Finding:
    """Judge the interpreter of the host that MODULE.bazel names; otherwise the build has one of its own."""
    if not interpreter:
        return Finding("python", FINE, "the build has one of its own")
    remedy = (
        "Install Python 3.10 or newer, or leave `interpreter` of bento_tools.python out: the build brings its own then."
    )
    if "/" in interpreter:  # a path can be that of a program of the project
        if interpreter.startswith("/") and Path(interpreter).is_file():
            return Finding("python", FINE, f"{interpreter}, which MODULE.bazel names; its version is not checked")
        text = f"bento_tools.python names {interpreter}, which is not an absolute path of a file"
        return Finding("python", MISSING, text, remedy)
    path = here.which(interpreter)
    if not path:
        return Finding("python", MISSING, f"bento_tools.python names {interpreter}, which is not on PATH", remedy)
    if not here.may_start(path):
        return Finding("python", FINE, f"{path}, which is in the workspace; its version is not checked")
    version = _said(here, [path, "-I", "-S", "-c", "import sys; print(*sys.version_info[:2], sep='.')"])
    if not re.fullmatch(r"3\.\d+", version) or int(version[2:]) < 10:
        return Finding("python", MISSING, f"{path} is {f'Python {version}' if version else 'no Python'}", remedy)
    return Finding("python", FINE, f"Python {version}, which MODULE.bazel names")


def builders(here: Surroundings) -> Finding:
    """Judge what runs images; to build and push them none is needed."""
    installed = [name for name in ("docker", "podman", "nerdctl") if here.which(name)]
    if installed:
        return Finding("containers", FINE, ", ".join(installed))
    remedy = "Images are built and pushed without; bento_load and `bento containerize` need one."
    return Finding("containers", HINT, "neither docker, podman nor nerdctl is on PATH", remedy)


def certificates(here: Surroundings) -> Finding:
    """Warn where the system trusts a company's authorities and programs would not."""
    own = [file for folder in here.authorities for file in Path(folder).glob("*") if file.suffix in (".crt", ".pem")]
    stated = [name for name in ("SSL_CERT_FILE", "UV_SYSTEM_CERTS") if here.variables.get(name)]
    has_trust_store = "trustStore" in _settings(here)
    file = here.variables.get("SSL_CERT_FILE", "")
    if file and not Path(file).is_file():
        remedy = "Unset it, or name a file of certificates: uv, pip and the bento command believe nobody else."
        return Finding("certificates", MISSING, f"SSL_CERT_FILE is {file}, which is no file", remedy)
    if not own and file and not has_trust_store:
        remedy = (
            "Bazel's own downloads do not read it. If they fail (PKIX path building failed), write to .bazelrc, with a "
            "store that keytool made of it: startup --host_jvm_args=-Djavax.net.ssl.trustStore=STORE"
        )
        return Finding("certificates", HINT, f"those of SSL_CERT_FILE: {file}", remedy)
    if not own and not has_trust_store and not stated and (baked := _baked(here)):
        remedy = (
            "uv and the bento command believe them, Bazel's own downloads may not (PKIX path building failed). Put "
            f"each into {_AUTHORITIES[0]}/NAME.crt, and run: update-ca-certificates"
        )
        return Finding("certificates", HINT, f"{baked} authorities that only {here.bundle} has", remedy)
    if not own:
        return Finding("certificates", FINE, f"those of {stated[0]}" if stated else "no authorities of your own")
    if has_trust_store:
        return Finding("certificates", FINE, f"{len(own)} authorities of your own, and Bazel is told of a trustStore")
    remedy = (
        "uv and the bento command believe them. If Bazel's own downloads fail (PKIX path building failed), write to "
        ".bazelrc, with the store that Debian's ca-certificates-java keeps: "
        "startup --host_jvm_args=-Djavax.net.ssl.trustStore=/etc/ssl/certs/java/cacerts"
    )
    return Finding("certificates", HINT, f"{len(own)} authorities of your own that the system trusts", remedy)


def _baked(here: Surroundings) -> int:
    """Count what was written into Debian's bundle by hand: the next update-ca-certificates removes it."""
    bundle, distributed = Path(here.bundle), Path(here.distributed)
    if not bundle.is_file() or not distributed.is_dir():
        return 0
    known = {one for file in distributed.rglob("*.crt") if file.is_file() for one in _certificates_in(file)}
    return len(_certificates_in(bundle) - known)


def _certificates_in(file: Path) -> set[str]:
    found = re.findall(r"-----BEGIN CERTIFICATE-----(.+?)-----END", read_file(file).decode(errors="replace"), re.DOTALL)
    return {"".join(text.split()) for text in found}


def _settings(here: Surroundings) -> str:
    """Return the lines of the .bazelrc files that count, without comments."""
    home = here.variables.get("HOME")
    files = [here.root / name for name in (".bazelrc", "user.bazelrc")] if here.root else []
    files += [Path(home, ".bazelrc")] if home else []
    texts = [read_file(path).decode(errors="replace") for path in files if path.is_file()]
    return "\n".join(line for text in texts for line in text.splitlines() if not line.lstrip().startswith("#"))


def cache(here: Surroundings) -> Finding:
    """Tell whether builds share a cache beyond this checkout."""
    if re.search(r"--(disk_cache|remote_cache)\b", _settings(here)):
        return Finding("cache", FINE, "outputs are kept by --disk_cache or --remote_cache")
    remedy = "Write to .bazelrc: common --disk_cache=~/.cache/bazel-disk. For CI: docs/ci.md."
    return Finding("cache", HINT, "another checkout builds all anew", remedy)


def workspace(here: Surroundings, root: Path) -> Iterator[Finding]:
    """Judge MODULE.bazel, the interpreter that it names, and the lock of each hub in it."""
    from bento_cli.projects.workspace import read_root

    if not (root / "MODULE.bazel").is_file():
        remedy = 'rules_bento comes by one alone. Write it: bazel_dep(name = "rules_bento", version = "...")'
        yield Finding("workspace", MISSING, f"{root.name} is a workspace without MODULE.bazel", remedy)
        return
    declared = read_root(root)
    if not declared.has_rules:
        remedy = 'Write there: bazel_dep(name = "rules_bento", version = "...")'
        yield Finding("workspace", MISSING, "MODULE.bazel does not depend on rules_bento", remedy)
        return
    yield Finding("workspace", FINE, f"MODULE.bazel depends on rules_bento; hubs of packages: {len(declared.hubs)}")
    yield from _twice(declared)
    yield _interpreter(declared) or python(here, declared.interpreter)
    yield from _rules_python(root, declared)
    yield from _names(declared)
    yield from _locks(root, declared)


def _twice(declared: Workspace) -> Iterator[Finding]:
    """Tell of names that are given twice, which Bazel or the extension refuses."""
    for twice in declared.duplicates:
        if twice.is_tag:
            text = f"{twice.second}: a hub of this name and another lock or other settings is in {twice.first}"
            remedy = f'Leave one, or give one another name: {twice.extension}.pypi(name = "{twice.name}_2", ...)'
        else:
            text = f"{twice.second}: another repository has this name, by {twice.first}"
            remedy = "Leave one, or give one another name, by `repo_name` or in use_repo."
            if twice.extension:
                own = f"bento_{twice.name}"
                remedy = (
                    f'Write there: use_repo({twice.extension}, {own} = "{twice.name}"), and in BUILD files @{own}//...'
                )
        yield Finding(f"name of @{twice.name}", MISSING, text, remedy)


def _interpreter(declared: Workspace) -> Finding | None:
    """Tell of a version for which rules_python has an interpreter only if a module asks; others may, too."""
    version = declared.version
    if not version or version in declared.toolchains or version == _DEFAULT_PYTHON:
        return None
    dependency = "" if "rules_python" in declared.names else f"{_dependency()}; "
    remedy = (
        f"If none does, write to MODULE.bazel: {dependency}"
        'python = use_extension("@rules_python//python/extensions:python.bzl", "python"); '
        f'python.toolchain(python_version = "{version}")'
    )
    return Finding("python", HINT, f"nothing here asks rules_python for its Python {version}", remedy)


def _dependency() -> str:
    return f'bazel_dep(name = "rules_python", version = "{OLDEST_RULES_PYTHON}")'


def _rules_python(root: Path, declared: Workspace) -> Iterator[Finding]:
    """Tell of the first label of rules_python where MODULE.bazel does not depend on it."""
    if "rules_python" in declared.names:
        return
    own = read_file(root / "MODULE.bazel").decode(errors="replace")
    places = (place for place, name, _ in _labels(root) if name == "rules_python")
    if place := "MODULE.bazel" if re.search(r"^[^#\n]*\"@rules_python//", own, re.MULTILINE) else next(places, ""):
        remedy = f"Write to MODULE.bazel, or a newer version: {_dependency()}"
        yield Finding(
            "rules_python", MISSING, f"{place} names @rules_python, on which MODULE.bazel does not depend", remedy
        )


def _names(declared: Workspace) -> Iterator[Finding]:
    """Tell of hubs that no BUILD file can name."""
    for hub in declared.hubs:
        if hub not in declared.visible.values():
            remedy = f'Write to MODULE.bazel: use_repo({declared.extension}, "{hub}")'
            yield Finding(f"name of @{hub}", MISSING, "use_repo does not name it, so no BUILD file can", remedy)


def _locks(root: Path, declared: Workspace) -> Iterator[Finding]:
    for hub, label in declared.hubs.items():
        package, _, name = re.sub(r"^@{0,2}//", "", label).partition(":")
        if package.startswith("@") or not name:
            remedy = "Give bento.pypi the label of a lock of this workspace, or look at it yourself."
            yield Finding(f"lock of @{hub}", HINT, f"{label or 'its label'} is not looked at", remedy)
            continue
        path = root / package / name
        target = _target(path)
        run = f"bazel run //{package}:{target[0]}" if target else "lock the packages"
        if path.is_dir():
            remedy = f"Move it away, and write the lock: {run}."
            yield Finding(f"lock of @{hub}", MISSING, f"{label} is a folder", remedy)
        elif not path.is_file() or not path.stat().st_size:
            yield Finding(f"lock of @{hub}", MISSING, f"{label} is not there yet", f"Write it: {run}.")
        else:
            yield _freshness(
                path, Finding(f"lock of @{hub}", FINE, f"{label} is what its sources ask for"), target, run
            )
            yield from _packages(root, declared, hub, path, run)


def _packages(root: Path, declared: Workspace, hub: str, lock: Path, run: str) -> Iterator[Finding]:
    """Tell of labels in BUILD files that name no package of a lock in our form, where Bazel says `no such package`."""
    from rules_bento.packages import lock as locks

    if lock.suffix != ".json":
        return
    names = {name for name, of in declared.visible.items() if of == hub}
    locked = {re.sub(r"[-.]", "_", package["name"]) for package in locks.load(lock)["packages"]}
    for place, name, package in _labels(root):
        if name in names and package not in locked:
            spelled = re.sub(r"[-._]+", "_", package).lower()
            remedy = f"Add {package} to what is locked, and write the lock: {run}."
            if spelled in locked:
                remedy = f"Write @{name}//{spelled}."
            yield Finding(f"packages of @{hub}", MISSING, f"{place}: there is no @{name}//{package}", remedy)
        elif names and name not in declared.names and package in locked:
            remedy = f"Write @{min(names)}//{package}, if that is meant."
            yield Finding(f"packages of @{hub}", MISSING, f"{place}: MODULE.bazel has no @{name}", remedy)


def _labels(root: Path) -> Iterator[tuple[str, str, str]]:
    """Yield `file:line`, repository and package of each label in the BUILD files of a workspace, none within it."""
    import os

    for folder, folders, files in os.walk(root):
        within = Path(folder) != root and "MODULE.bazel" in files
        folders[:] = [] if within else sorted(name for name in folders if not name.startswith((".", "bazel-")))
        build = Path(folder, "BUILD.bazel" if "BUILD.bazel" in files else "BUILD")
        if within or not build.is_file():
            continue
        for number, line in enumerate(read_file(build).decode(errors="replace").splitlines(), 1):
            if not line.lstrip().startswith("#"):
                place = f"{build.relative_to(root)}:{number}"
                yield from ((place, *parts) for parts in _LABEL.findall(line))


def _target(lock: Path) -> tuple[str, list[str]] | None:
    """Return name and sources of the bento_requirements beside a lock that writes it, where all are plain texts."""
    for name in ("BUILD.bazel", "BUILD"):
        for call in _lock_calls(lock.with_name(name)):
            keywords = {each.arg: each.value for each in call.keywords}
            [name_of, *_] = _texts(keywords.get("name")) or [""]
            [written, *_] = _texts(keywords.get("lock")) or ["requirements.lock.json"]
            srcs = _texts(keywords.get("srcs"))
            if name_of and srcs and written == lock.name:
                return name_of, srcs
    return None


def _lock_calls(build: Path) -> list[ast.Call]:
    """Return the calls of bento_requirements in a BUILD file; none where it is no file, or Python does not read it."""
    import ast

    try:
        called = ast.parse(read_file(build).decode(errors="replace")).body if build.is_file() else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    calls = [each.value for each in called if isinstance(each, ast.Expr) and isinstance(each.value, ast.Call)]
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "bento_requirements"]


def _texts(value: ast.expr | None) -> list[str]:
    """Return a text, or those of a list; nothing where there are others."""
    import ast

    values = value.elts if isinstance(value, ast.List) else [value]
    texts = [each.value for each in values if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return texts if len(texts) == len(values) else []


def _freshness(path: Path, fine: Finding, target: tuple[str, list[str]] | None, run: str) -> Finding:
    """Judge whether a lock in our form has what its sources ask for. `bento_requirements_test` judges more."""
    from rules_bento.packages import lock as locks
    from rules_bento.packages.requirement_sources import RequirementSource, read

    if not target or path.suffix != ".json":
        return Finding(fine.about, FINE, f"{path.name} is there")
    sources = [
        RequirementSource(path.with_name(name), name) for name in target[1] if not name.startswith(("@", "/", ":"))
    ]
    if len(sources) != len(target[1]):
        return Finding(fine.about, FINE, f"{path.name} is there")
    locked = set(locks.load(path).get("inputs", {}).get("requirements", []))
    stated = read(sources).requirements
    differing = [f"{stated[text]}: {text} is not locked" for text in sorted(stated.keys() - locked)]
    differing += [f"{text} is locked, but nobody asks for it" for text in sorted(locked - stated.keys())]
    if differing:
        return Finding(fine.about, MISSING, f"stale: {'; '.join(differing)}", f"Write it again: {run}.")
    return fine


def index(here: Surroundings) -> Finding:
    """Ask the index for one small release, by the program and with the settings that builds use.

    Raises BentoError for an index that does not answer.
    """
    import tempfile

    uv, python = ((path if path and here.may_start(path) else None) for path in map(here.which, ("uv", "python3")))
    with tempfile.TemporaryDirectory(prefix="rules_bento-doctor-") as folder:
        command = [
            python or sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            folder,
            "packaging",
        ]
        if uv:
            command = [uv, "pip", "compile", "--quiet", "--no-cache", "--no-deps", "--system-certs"]
            command += ["--python", sys.executable, "-"]  # uv would look for the one of a .venv, and start it
        try:
            # From an empty directory: `-m` would run a pip.py of the current one.
            done = subprocess.run(
                command, input="packaging\n", check=False, capture_output=True, cwd=folder, text=True, timeout=_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BentoError(f"{Path(command[0]).name}: {error}. Check the network.") from None
    if done.returncode == 0:
        return Finding("index", FINE, "an index of packages answers")
    from rules_bento.packages.indexes import without_credentials

    reason = without_credentials(" ".join(done.stderr.split())[-400:])
    return Finding(
        "index", MISSING, f"no index of packages answers: {reason}", "Set UV_DEFAULT_INDEX, or see docs/locks.md."
    )


def proxies(variables: Mapping[str, str], *, online: bool) -> list[Finding]:
    """Judge each variable; `online` says whether to knock at the proxies that they name."""
    return list(_proxy_findings(variables, online=online)) or [_proxy_summary(variables)]


def _proxy_summary(variables: Mapping[str, str]) -> Finding:
    named = [name for name in _PROXIES if _variable(variables, name)]
    text = ", ".join(f"{name} is {_without_password(_variable(variables, name))}" for name in named)
    return Finding("proxy", FINE, text or "none is set")


def _proxy_findings(variables: Mapping[str, str], *, online: bool) -> Iterator[Finding]:
    for name in (*_PROXIES, "NO_PROXY"):
        lower, upper = variables.get(name.lower()), variables.get(name)
        if lower and upper and lower != upper:
            remedy = f"Programs take one or the other. Leave one: unset {name.lower()}"
            yield Finding(name, MISSING, f"{name} and {name.lower()} differ", remedy)
    for name in _PROXIES:
        if value := _variable(variables, name):
            yield from _proxy_problem(name, value, online=online)
    secure, plain, both = (_variable(variables, name) for name in _PROXIES)
    if both and not (secure or plain):
        remedy = 'Bazel does not read ALL_PROXY. Write: export HTTPS_PROXY="$ALL_PROXY" HTTP_PROXY="$ALL_PROXY"'
        yield Finding("ALL_PROXY", MISSING, "it is set, and neither HTTPS_PROXY nor HTTP_PROXY", remedy)
    elif plain and not secure:
        remedy = 'Packages come by https, which it is not for. Write: export HTTPS_PROXY="$HTTP_PROXY"'
        yield Finding("HTTPS_PROXY", HINT, "it is not set, but HTTP_PROXY is", remedy)
    if secure or plain or both:
        yield from _no_proxy(_variable(variables, "NO_PROXY"))


def _proxy_problem(name: str, value: str, *, online: bool) -> Iterator[Finding]:
    """Tell why a proxy cannot be used. Its value is not shown: a password may be in it."""
    write = f"Write: export {name}=http://HOST:PORT"
    match = _PROXY_ADDRESS.fullmatch(value)
    if not match or int(match[3] or 1) not in range(1, 1 << 16):
        scheme = re.match(r"(\w+)://", value)
        kind = f"a proxy of {scheme[1]}" if scheme and scheme[1] not in ("http", "https") else "no address of a proxy"
        yield Finding(name, MISSING, f"it has {kind}, which Bazel does not take", write)
    elif match[1] == "https":
        remedy = f"Bazel and uv take it, push, pull and import of the bento command do not. {write}"
        yield Finding(name, HINT, "its proxy is reached by https", remedy)
    elif online and (reason := _silent(match[2], int(match[3] or 80))):
        remedy = f"Correct it, or leave it out: unset {name}"
        yield Finding(name, MISSING, f"{_without_password(value)} does not answer: {reason}", remedy)


def _silent(host: str, port: int) -> str:
    """Return why no connection comes about; empty where one does."""
    try:
        socket.create_connection((host, port), timeout=_PROXY_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _no_proxy(value: str) -> Iterator[Finding]:
    """Tell of what NO_PROXY lacks, and of entries that Bazel takes for names of hosts."""
    entries = [entry.strip() for entry in value.split(",") if entry.strip()]
    unknown = [entry for entry in entries if re.search(r"[*/]|[^:]:\d+$", entry)]  # not the `::1` of IPv6
    if unknown:
        remedy = "Bazel reads names of hosts and `.domains` there, and no `*`, networks or ports: add the names."
        yield Finding("NO_PROXY", HINT, f"Bazel does not understand {', '.join(unknown)} in it", remedy)
    elif not {"localhost", "127.0.0.1"} <= set(entries):
        remedy = "curl and uv ask the proxy for servers of this machine. Write: " + (
            'export NO_PROXY="$NO_PROXY,localhost,127.0.0.1"' if entries else "export NO_PROXY=localhost,127.0.0.1"
        )
        yield Finding("NO_PROXY", HINT, "it does not name this machine", remedy)


def _variable(variables: Mapping[str, str], name: str) -> str:
    return variables.get(name.lower()) or variables.get(name) or ""


def _without_password(value: str) -> str:
    """Return a proxy without the password that may be in it."""
    return display_url(value).rpartition("//")[2].rstrip("/")
