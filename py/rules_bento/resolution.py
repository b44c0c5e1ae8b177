"""What uv resolves over the network: a lock from requirements, and the edges that other locks leave out."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

from rules_bento import lock as locks
from rules_bento import requirements
from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rules_bento.lock import Lock

_PROJECT = "locked-by-rules-bento"
# Only what the rules can run: no Windows, no musl.
_ENVIRONMENTS = ["sys_platform == 'linux'", "sys_platform == 'darwin'"]
_INDEX_FLAGS = {"--index-url": True, "-i": True, "--extra-index-url": False}


def update(
    sources: Sequence[Path], output: Path, *, uv: Path, requires_python: str, upgrade: Collection[str] = ()
) -> None:
    """Resolve requirements files and write the lock of them all.

    What the existing lock pins stays as it is unless `upgrade` names it; `*` upgrades all.
    """
    wanted: list[str] = []
    options: list[requirements.Option] = []
    for source in sources:
        found = requirements.parse(source.read_text("utf-8"), str(source))
        wanted += [requirement.text for requirement in found[0]]
        options += found[1]
    constraints = [] if "*" in upgrade or not output.exists() else _pins(locks.load(output), upgrade)
    text = _uv_lock(_pyproject(wanted, constraints, requires_python, options), uv, ", ".join(map(str, sources)))
    _write(output, locks.dumps(locks.from_uv_lock(text, str(output))))


def normalize(
    path: Path,
    *,
    uv: Path,
    requires_python: str,
    extras: Collection[str] | None = None,
    groups: Collection[str] | None = None,
) -> Lock:
    """Read a lock in any of its forms: our own, `uv.lock`, `pylock.toml`, or requirements with hashes.

    The last two name no edges: uv finds them out for the pinned releases, over the network where it has not seen them
    before, and only files of a committed hash are taken.
    """
    if path.name.endswith(".json"):
        return locks.load(path)
    text = path.read_text("utf-8")
    if path.name == "uv.lock":
        return locks.from_uv_lock(text, str(path), extras=extras, groups=groups)
    if path.name.startswith("pylock") and path.name.endswith(".toml"):
        pins, hashes, options = _read_pylock(text, str(path))
    else:
        pins, hashes, options = _read_requirements(text, str(path))
    resolved = _uv_lock(_pyproject(pins, [], requires_python, options), uv, str(path))
    return locks.keep_hashes(locks.from_uv_lock(resolved, str(path)), hashes, str(path))


def _read_requirements(text: str, origin: str) -> tuple[list[str], set[str], list[requirements.Option]]:
    found, options = requirements.parse(text, origin)
    for requirement in found:
        if not requirement.pin or not requirement.hashes:
            lacks = "hashes" if requirement.pin else "an exact version"
            raise BentoError(
                f"{origin}:{requirement.line}: {requirement.text!r} lacks {lacks}. Write the lock with "
                f"`uv pip compile --universal --generate-hashes` or `pip-compile --generate-hashes`."
            )
    return [entry.text for entry in found], {sha256 for entry in found for sha256 in entry.hashes}, options


def _read_pylock(text: str, origin: str) -> tuple[list[str], set[str], list[requirements.Option]]:
    """Pins and hashes of a lock as PEP 751 has it."""
    document = locks.parse_toml(text, origin)
    pins: list[str] = []
    hashes: set[str] = set()
    for package in document.get("packages", []):
        marker = f" ; {package['marker']}" if "marker" in package else ""
        if "version" not in package:
            raise BentoError(f"{origin}: {package['name']} has no version. Only packages of an index can be used.")
        pins.append(f"{package['name']}=={package['version']}{marker}")
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        hashes |= {file["hashes"]["sha256"] for file in files if "sha256" in file.get("hashes", {})}
    return pins, hashes, []


def _uv_lock(pyproject: str, uv: Path, origin: str) -> str:
    """The text of the `uv.lock` of a project. What uv remembers is used where it suffices."""
    with tempfile.TemporaryDirectory(prefix="rules_bento-lock-") as project:
        Path(project, "pyproject.toml").write_text(pyproject, "utf-8")
        command = [str(uv), "lock", "--no-progress", "--project", project, "--no-python-downloads"]
        for offline in (["--offline"], []):
            done = subprocess.run([*command, *offline], check=False, stderr=subprocess.PIPE, text=True)
            if done.returncode == 0:
                return Path(project, "uv.lock").read_text("utf-8")
    raise BentoError(f"{origin}: uv found no set of packages that fits:\n{done.stderr.strip()}")


def _pins(lock: Lock, upgrade: Collection[str]) -> list[str]:
    """Constraints that hold each package at what the lock has, but for those to be upgraded."""
    versions: dict[str, list[str]] = {}
    for package in lock["packages"]:
        versions.setdefault(package["name"], []).append(package["version"])
    return [f"{name}=={found[0]}" for name, found in versions.items() if len(found) == 1 and name not in upgrade]


def _pyproject(
    wanted: list[str], constraints: list[str], requires_python: str, options: Sequence[requirements.Option]
) -> str:
    lines = [
        "[project]",
        f'name = "{_PROJECT}"',
        'version = "0"',
        f"requires-python = {json.dumps(requires_python)}",
        f"dependencies = {json.dumps(wanted)}",
        "[tool.uv]",
        "package = false",
        f"constraint-dependencies = {json.dumps(constraints)}",
        f"environments = {json.dumps(_ENVIRONMENTS)}",
    ]
    find_links = [option.value for option in options if option.flag in ("--find-links", "-f")]
    if find_links:
        lines.append(f"find-links = {json.dumps(find_links)}")
    if any(option.flag == "--no-index" for option in options):
        lines.append("no-index = true")
    for option in options:
        if option.flag in _INDEX_FLAGS:
            lines += ["[[tool.uv.index]]", f"url = {json.dumps(option.value)}"]
            lines += ["default = true"] if _INDEX_FLAGS[option.flag] else []
    return "\n".join([*lines, ""])


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text, "utf-8")
    unfinished.replace(path)
