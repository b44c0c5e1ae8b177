"""Uses apt to lock Debian packages for a set of suites and architectures. A lock contains no mirror host names.

apt runs with separate directories and sources, so the result is independent of the host's packages and architecture.
The mirror, proxies, credentials, and keys come from the host. The format of a lock::

    {"deb_lock": 1,
     "inputs": {"suites": ["trixie", ...], "architectures": ["amd64", ...], "packages": [...], "exclude": [...]},
     "packages": {"amd64": [{"name": "libc6", "version": "2.41-12+deb13u4", "architecture": "amd64",
                             "archive": "debian", "filename": "pool/main/g/glibc/libc6_2.41-12+deb13u4_amd64.deb",
                             "sha256": "<hex>", "size": 2847692, "dependencies": ["libgcc-s1"]}]}}

`filename` is relative to a mirror of `archive`, which is `debian` or `debian-security`. `dependencies` contains
names of other locked packages for the architecture. If a package depends on one of several alternatives, `dependencies`
contains only the first alternative that is locked. `exclude` lists packages that apt assumed to be installed.

The lock of a command (`bento lock --apt`) has the packages that a base lacks, or has in the older version `replaces`;
versions of requested packages (`name=version`); and the date of the archive in `snapshot`. Its archive can be `ubuntu`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path

from rules_bento.base.errors import BentoError
from rules_bento.base.formats import FormatError, shapes, split_lines
from rules_bento.base.formats.json import read_json
from rules_bento.base.formats.shapes import DEB_LOCK
from rules_bento.base.programs import which
from rules_bento.base.subcommand_arguments import Request, Strings
from rules_bento.base.typing_lite import Any, Iterable, Mapping

FORMAT = 1
MAIN, SECURITY, UBUNTU = "debian", "debian-security", "ubuntu"

Lock = dict[str, Any]
Stanza = dict[str, str]

_KEYRING = "/usr/share/keyrings/{}-archive-keyring.gpg"  # of a distribution
_SUITE = re.compile(r"(old|oldold)?stable|testing|unstable|bullseye|bookworm|trixie|forky|sid")
_SECURITY_SUITE = "-security"
_SECURITY_POOL = "pool/updates/"  # directory of files in the security archive
_PLANNED_INSTALL = re.compile(r"^Inst ([a-z0-9]\S*) (?:\[(\S+)\] )?\((\S+) ", re.MULTILINE)
_PLANNED_REMOVAL = re.compile(r"^Remv (\S+)", re.MULTILINE)
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_REQUEST = re.compile(rf"{_NAME.pattern}(?:=(?:[0-9]+:)?[0-9A-Za-z][0-9A-Za-z.+~-]*)?")


class DebsRequest(Request):
    """The packages to lock, and the suites and architectures for which apt resolves the packages."""

    architecture: Strings  # Debian's names
    exclude: Strings
    package: Strings
    suite: Strings

    def to_json(self) -> dict[str, list[str]]:
        """Return the request as the `inputs` of a lock, in canonical order."""
        names = {"architectures": self.architecture, "packages": self.package, "exclude": self.exclude}
        return {"suites": [*self.suite]} | {key: sorted(set(values)) for key, values in names.items()}


def dumps(lock: Lock) -> str:
    """Return the lock as JSON with one value per line, for readable diffs."""
    return json.dumps(lock, indent=1, ensure_ascii=False) + "\n"


def loads(text: str, origin: str) -> Lock:
    """Parse a lock. An empty string is an empty lock. Raises BentoError for an invalid lock."""
    if not text.strip():
        return {"deb_lock": FORMAT, "inputs": {}, "packages": {}}
    try:
        lock: Lock = read_json(text, origin)
    except FormatError as error:
        raise error.with_remedy("Generate the lock with a bento_debs target.") from None
    if not isinstance(lock, dict) or lock.get("deb_lock") != FORMAT:
        remedy = "Generate the lock with a bento_debs target."
        raise BentoError(f"{origin} isn't a Debian lock in format {FORMAT}", remedy=remedy)
    shapes.check(lock, DEB_LOCK, origin, "Restore the committed file, or empty the file and update the lock.")
    return lock


def find_problems(lock: Lock, request: DebsRequest) -> list[str]:
    """Return the differences between a lock and a request, and inconsistencies in the lock. Works offline."""
    problems = []
    before, now = lock["inputs"], request.to_json()
    for key, noun in (("packages", "package"), ("exclude", "excluded package"), ("architectures", "architecture")):
        locked = before.get(key, [])
        problems += [f"{noun} {name} is not locked" for name in now[key] if name not in locked]
        problems += [f"{noun} {name} is locked, but not requested" for name in locked if name not in now[key]]
    if before.get("suites") != now["suites"]:
        problems.append(f"expected suites {now['suites']}, but locked for {before.get('suites', [])}")
    for architecture in () if problems else now["architectures"]:
        problems += _find_inconsistencies(lock, architecture, now["packages"])
    return problems


def _find_inconsistencies(lock: Lock, architecture: str, roots: list[str]) -> list[str]:
    """Return messages about duplicate, missing, and unneeded packages in a lock."""
    packages = lock["packages"].get(architecture, [])
    by_name = {package["name"]: package for package in packages}
    problems = []
    if len(by_name) < len(packages):
        problems.append(f"{architecture}: a package is locked twice")
    seen: set[str] = set()
    queue = [(root, "packages") for root in roots]
    while queue:
        name, parent = queue.pop()
        if name not in by_name:
            problems.append(f"{architecture}: {parent} requires {name}, which isn't locked")
        elif name not in seen:
            seen.add(name)
            queue += [(dependency, name) for dependency in by_name[name].get("dependencies", [])]
    return problems + [f"{architecture}: {name} is not required" for name in sorted(by_name.keys() - seen)]


def host_mirrors() -> dict[str, str]:
    """Map each archive in the host's apt sources to its mirror URL. Raises BentoError if apt isn't installed."""
    if not which("apt-get"):
        problem = "locking Debian packages requires apt-get"
        raise BentoError(problem, remedy="Run the target on Debian or in a Debian container.")
    mirrors: dict[str, str] = {}
    targets = _run(["apt-get", "indextargets", "--no-release-info", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)"])
    for line in split_lines(targets):
        suite, component, uri = line.split(" ", 2)
        if component == "main" and _SUITE.fullmatch(suite.removesuffix(_SECURITY_SUITE)):
            mirrors.setdefault(SECURITY if suite.endswith(_SECURITY_SUITE) else MAIN, uri.rstrip("/"))
    return mirrors


def expand_mirror(mirror: str) -> dict[str, str]:
    """Map each archive to its mirror URL. If `mirror` lacks `{archive}`, the result contains only the main archive."""
    if "{archive}" in mirror:
        return {archive: mirror.replace("{archive}", archive).rstrip("/") for archive in (MAIN, SECURITY)}
    return {MAIN: mirror.rstrip("/")}


def resolve(
    request: DebsRequest, mirrors: Mapping[str, str], directory: Path, installed: Mapping[str, str] | None = None
) -> Lock:
    """Resolve a request with apt over the network. apt stores files in `directory`. Raises BentoError if apt fails.

    `installed` maps architectures to the status file of a base. The lock then has only the packages that the base
    lacks or has in an older version, and requested packages can have a version (`name=version`).
    """
    for name in [*request.package, *request.exclude]:
        if not (_NAME if installed is None or name in request.exclude else _REQUEST).fullmatch(name):
            place = "packages" if name in request.package else "excludes"
            problem = f"invalid name {name!r}"
            example = "'libgomp1', without a version." if installed is None else "libgomp1 or libgomp1=12.2.0-14."
            raise BentoError(problem, place=place, remedy=f"Use a name such as {example}")
    if not mirrors.keys() & {MAIN, UBUNTU}:
        problem = "this machine's apt sources contain no Debian mirror"
        raise BentoError(problem, remedy="Pass a mirror with `-- --mirror URL`.")
    requested = request.to_json()
    packages = {}
    for number, architecture in enumerate(requested["architectures"]):
        status = (installed or {}).get(architecture, "")
        apt = _configure(directory / str(number), request, architecture, mirrors, status)
        _run([*apt("apt-get"), "update", "--quiet"])
        simulated = _run([*apt("apt-get"), "install", "--simulate", *requested["packages"]])
        if removed := _PLANNED_REMOVAL.search(simulated):
            problem = f"apt would remove {removed[1]} of the base for {' '.join(requested['packages'])}"
            raise BentoError(problem, remedy="Use other packages, or a newer base.")
        planned = _PLANNED_INSTALL.findall(simulated)
        names = [f"{name}={version}" for name, _, version in planned]
        shown = _run([*apt("apt-cache"), "show", "--no-all-versions", *names]) if names else ""
        replaced = {name: old for name, old, _ in planned if old}
        entries = _lock_entries(parse_stanzas(shown), UBUNTU if UBUNTU in mirrors else MAIN)
        packages[architecture] = [
            each | ({"replaces": replaced[each["name"]]} if each["name"] in replaced else {}) for each in entries
        ]
    lock = {"deb_lock": FORMAT, "inputs": requested, "packages": packages}
    if installed is not None and (dates := [*map(_date, directory.glob("*/lists/*Release"))]):
        lock["snapshot"] = max(dates)
    shapes.check(lock, DEB_LOCK, "the mirror's index", "Use another mirror.")
    return lock


def _date(release: Path) -> str:
    """Return the date of an index in the form of snapshot.debian.org, such as 20260131T201530Z."""
    match = re.search(r"(?m)^Date: (.*)$", release.read_text("utf-8", "replace"))
    moment = parsedate_to_datetime(match[1]) if match else datetime.fromtimestamp(0, timezone.utc)
    return moment.astimezone(timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def parse_stanzas(text: str) -> list[Stanza]:
    """Parse the stanzas of a control file. Raises ValueError for a continuation line that doesn't follow a field."""
    stanzas = []
    for paragraph in re.split(r"\n\s*\n", text):
        lines: dict[str, list[str]] = {}  # lists of lines, because appending to a string takes quadratic time
        field = ""
        for line in split_lines(paragraph):
            if line[:1] in (" ", "\t"):
                if not field:
                    raise ValueError(f"line {line!r} has no field name")
                lines[field].append(line)
            elif ":" in line:
                field, _, value = line.partition(":")
                lines[field] = [value.strip()]
        if lines:
            stanzas.append({name: "\n".join(parts) for name, parts in lines.items()})
    return stanzas


def _lock_entries(stanzas: Iterable[Stanza], archive: str) -> list[dict[str, Any]]:
    by_name = {stanza["Package"]: stanza for stanza in stanzas}
    providers = {name: name for name in by_name}
    for name in sorted(by_name):
        for provided in relations(by_name[name].get("Provides", "")):
            providers.setdefault(provided[0], name)
    return [_package(stanza, providers, archive) for _, stanza in sorted(by_name.items())]


def _package(stanza: Stanza, providers: Mapping[str, str], archive: str) -> dict[str, Any]:
    needed = [*relations(stanza.get("Pre-Depends", "")), *relations(stanza.get("Depends", ""))]
    chosen = [next((providers[name] for name in names if name in providers), "") for names in needed]
    return {
        "name": stanza["Package"],
        "version": stanza["Version"],
        "architecture": stanza["Architecture"],
        "archive": SECURITY if stanza["Filename"].startswith(_SECURITY_POOL) else archive,
        "filename": stanza["Filename"],
        "sha256": stanza["SHA256"],
        "size": int(stanza["Size"]),
        "dependencies": sorted({name for name in chosen if name and name != stanza["Package"]}),
    }


def relations(text: str) -> list[list[str]]:
    """Return a list of alternative package names for each relation in a field (Debian Policy 7.1)."""
    groups = [group.split("|") for group in text.replace("\n", " ").split(",") if group.strip()]
    return [[re.split(r"[\s(:\[<]", name.strip(), maxsplit=1)[0] for name in group] for group in groups]


def _configure(directory: Path, request: DebsRequest, architecture: str, mirrors: Mapping[str, str], base: str) -> Any:
    # writes: own, constant names
    """Write apt's configuration. Returns a function that creates the command for an apt program."""
    for name in ("cache/archives/partial", "lists/partial", "sources"):
        (directory / name).mkdir(parents=True)
    (directory / "sources/debian.sources").write_text(_sources(request.suite, architecture, mirrors))
    installed = f"Status: install ok installed\nArchitecture: {architecture}\nVersion: 99:0\nMaintainer: none\n"
    status = [f"Package: {name}\n{installed}Description: excluded\n\n" for name in request.exclude]
    (directory / "status").write_text("".join([base, *status]))
    # The host's proxies, credentials, and certificates stay in effect, but its hooks don't.
    (directory / "apt.conf").write_text(f"""\
#clear APT::Update;
#clear DPkg;
#clear APT::Architectures;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{directory}/sources";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{directory}";
Dir::State::lists "{directory}/lists";
Dir::State::status "{directory}/status";
Dir::Cache "{directory}/cache";
Dir::Log "{directory}";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Get::Assume-Yes "true";
APT::Install-Recommends "false";
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Debug::NoLocking "true";
""")
    return lambda program: [program, "--config-file", str(directory / "apt.conf")]


def _sources(suites: Iterable[str], architecture: str, mirrors: Mapping[str, str]) -> str:
    """Return apt's sources in the deb822 format, with one stanza for each suite."""
    distribution, components = (UBUNTU, "main universe") if UBUNTU in mirrors else (MAIN, "main")
    main = mirrors[distribution]
    # By convention, the security archive is next to the main archive.
    security = main if distribution == UBUNTU else mirrors.get(SECURITY, main + _SECURITY_SUITE)
    keyring = _KEYRING.format(distribution)
    signed = f"Signed-By: {keyring}\n" if Path(keyring).exists() else ""
    return "\n".join(
        f"Types: deb\nURIs: {security if suite.endswith(_SECURITY_SUITE) else main}\nSuites: {suite}\n"
        f"Components: {components}\nArchitectures: {architecture}\nTargets: Packages\n{signed}"
        for suite in suites
    )


def _run(command: list[str]) -> str:
    env = os.environ | {"LC_ALL": "C.UTF-8", "TMPDIR": tempfile.gettempdir()}
    program = which(command[0]) or os.devnull
    done = subprocess.run(
        command, executable=program, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=env
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no error message"]
        errors = [line for line in lines if line.startswith("E: ")] or lines[-1:]
        subcommand = next((word for word in command if word in ("update", "install", "show", "indextargets")), "")
        reason = " ".join(errors).rstrip(".")
        problem = f"{command[0]} {subcommand} failed: {reason}"
        raise BentoError(problem, remedy="Check the package names and the mirror.")
    return done.stdout
