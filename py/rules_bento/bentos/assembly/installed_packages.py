"""Reads which modules installed packages provide, and what they require, from the metadata in their directories."""

from __future__ import annotations

import re

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.formats import read_file
from rules_bento.base.typing_lite import TYPE_CHECKING, Collection, Iterable, Mapping, Sequence
from rules_bento.bentos.packages.bentoml_users import bentoml_users
from rules_bento.bentos.packages.requirement_syntax import normalize_name, requirement_name
from rules_bento.bentos.service.loaded_names import CLOSURE, LOADED, PROVIDED, SOMETIMES
from rules_bento.bentos.service.module_table import ModuleTable, modules_of

if TYPE_CHECKING:
    from pathlib import Path

_REQUIRED = re.compile(r"^Requires-Dist:[ \t]*(.{1,300})$", re.MULTILINE)
_PIN = re.compile(r"[-\w.+!]+")


class InstalledPackage(NamedTuple):
    """The top-level modules of a package (None if unknown), and its requirements (PEP 508)."""

    modules: Sequence[str] | None
    requires: Sequence[str] = ()


def installed_packages(sites: Iterable[Path]) -> dict[str, InstalledPackage]:
    """Return the packages in directories such as site-packages, by normalized name."""
    found: dict[str, InstalledPackage] = {}
    for path in (path for site in sites for path in site.glob("*.dist-info/METADATA") if path.is_file()):
        head = read_file(path).decode("utf-8", "replace").partition("\n\n")[0]
        record = path.with_name("RECORD")
        lines = read_file(record).decode("utf-8", "replace").splitlines() if record.is_file() else ["unknown.pth"]
        package = InstalledPackage(modules_of(line.partition(",")[0] for line in lines), _REQUIRED.findall(head))
        found.setdefault(normalize_name(path.parent.name.partition("-")[0]), package)
    return found


def cached_packages(cache: Path, pins: Mapping[str, str]) -> dict[str, InstalledPackage]:
    """Return the packages that uv has unpacked in its cache, of those with a name and version in `pins`."""
    found: dict[str, InstalledPackage] = {}
    for name, version in pins.items():
        wheel = f"{name}/{version}-*" if _PIN.fullmatch(name) and _PIN.fullmatch(version) else ""
        for pattern in (f"wheels-v*/pypi/{wheel}", f"wheels-v*/index/*/{wheel}") if wheel else ():
            for directory in sorted(cache.glob(pattern)) if name not in found else ():
                found |= installed_packages([directory])
    return found


def modules_of_users(packages: Mapping[str, InstalledPackage]) -> set[str]:
    """Return the top-level modules of the packages that require bentoml."""
    users = bentoml_users({name: {*map(requirement_name, package.requires)} for name, package in packages.items()})
    return {module for name in users for module in (name.replace("-", "_"), *(packages[name].modules or ()))}


def locked_table(names: Iterable[str], known: Mapping[str, InstalledPackage]) -> ModuleTable:
    """Return the table of all packages of a Bento."""
    return ModuleTable(_modules(names, known))


def required_table(requirements: Iterable[str], known: Mapping[str, InstalledPackage]) -> ModuleTable:
    """Return the table of packages that aren't locked, and what they require as far as `known` shows it.

    A requirement with a marker that isn't installed doesn't apply, unless an extra might require it.
    """
    waiting, names, unknown = [*requirements], set[str](), set[str]()
    for text in waiting:  # which grows
        name, has_extras = requirement_name(text), "[" in text.partition(";")[0]
        names.add(name)
        unknown.update([name] if has_extras and name not in known else [])
        for required in known[name].requires if name in known else ():
            marker = required.partition(";")[2]
            if requirement_name(required) in known or not marker or (has_extras and "extra" in marker):
                waiting += [required] if required not in waiting else []
    return ModuleTable(_modules(names, known) | dict.fromkeys(unknown))


def _modules(names: Iterable[str], known: Mapping[str, InstalledPackage]) -> dict[str, Collection[str] | None]:
    """Return the modules of packages. Those of bentoml and of the packages that it requires are always known."""
    found = {name: known[name].modules if name in known else None for name in names}
    of_bentoml = LOADED | SOMETIMES | PROVIDED
    return {name: of_bentoml if not given and name in CLOSURE else given for name, given in found.items()}
