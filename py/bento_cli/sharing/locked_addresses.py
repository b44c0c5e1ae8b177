"""Finds the addresses of the files in locks that have only hashes. uv finds the files of each pinned release."""

from __future__ import annotations

import json

from rules_bento.base.errors import BentoError
from rules_bento.base.own_files import own_directory
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Sequence
from rules_bento.bentos.packages import uv
from rules_bento.bentos.packages.indexes import Indexes
from rules_bento.bentos.packages.requirement_syntax import parse

from bento_cli.sharing.native_packages import locate

if TYPE_CHECKING:
    from bento_cli.sharing.native_base import BaseImageContents


def with_addresses(packages: Sequence[dict[str, Any]], base: BaseImageContents, origin: str) -> list[dict[str, Any]]:
    """Return the packages that a lock installs on a base, with the addresses of the files whose hashes the lock has.

    Raises BentoError for two releases of a package, and for hashes of no file.
    """
    releases: dict[str, str] = {}
    for each in packages:
        name, version = each["name"], str(each.get("version", ""))
        if releases.setdefault(name, version) != version:
            problem = f"the lock installs {name} {releases[name]} and {version}"
            remedy = "Lock again with a newer version of its tool, which keeps versions (for Poetry 2, `poetry lock`)."
            raise BentoError(problem, place=origin, remedy=remedy)
    found: dict[tuple[str, ...], dict[str, tuple[str, int]]] = {}
    for index in {tuple(each["index"]) for each in packages if "hashes" in each}:
        pins = [(each["name"], each["version"]) for each in packages if tuple(each.get("index", ("",))) == index]
        found[index] = _locate(pins, index, base, origin)
    return [_with_files(each, found[tuple(each["index"])], origin) if "hashes" in each else each for each in packages]


def _locate(
    pins: Sequence[tuple[str, str]], index: Sequence[str], base: BaseImageContents, origin: str
) -> dict[str, tuple[str, int]]:
    """Return addresses and sizes of all files of releases, by SHA-256. uv reads no metadata, so it builds nothing."""
    options = parse("".join(f"{line}\n" for line in index), origin)[1]
    metadata = [
        f"{{ name = {json.dumps(name)}, version = {json.dumps(version)}, requires-dist = [] }}"
        for name, version in pins
    ]
    with own_directory("bento-pins-") as directory:
        (directory / "pyproject.toml").write_text(uv.LAST_PARENT, "utf-8")
        (directory / "uv.toml").write_text(f"dependency-metadata = [{', '.join(metadata)}]\n", "utf-8")
        lines = [*index, *(f"{name}=={version}" for name, version in pins)]
        return locate(lines, base, Indexes().with_options(options, origin), directory)


def _with_files(package: dict[str, Any], found: dict[str, tuple[str, int]], origin: str) -> dict[str, Any]:
    known = [sha256 for sha256 in package["hashes"] if sha256 in found]
    files: list[dict[str, Any]] = [
        {"url": found[each][0], "hash": f"sha256:{each}", "size": found[each][1]} for each in known
    ]
    if not files:
        problem = f"{package['name']} {package['version']}: the hashes are of no file of the index"
        raise BentoError(problem, place=origin, remedy="Check whether the release changed, and update the lock.")
    wheels = [file for file in files if file["url"].endswith(".whl")]
    archives = [file for file in files if file not in wheels and "only-wheels" not in package]
    return package | {"wheels": wheels} | ({"sdist": archives[0]} if archives else {})
