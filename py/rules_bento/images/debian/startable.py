"""Finds programs and libraries of Debian packages that can't start, because an image lacks what they need.

The image has no `ld.so.cache`, so the dynamic linker finds libraries only in its default directories, and in those that
a file names. Also lists what maintainer scripts would have written, and nothing else writes.
"""

from __future__ import annotations

import re
from posixpath import dirname

from rules_bento.base.display import some
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterator, Mapping
from rules_bento.images.debian.apt import parse_stanzas, relations

if TYPE_CHECKING:
    from rules_bento.images.debian.deb_rootfs import Rootfs
    from rules_bento.images.wheels.elf import Elf

_TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
_PROGRAMS = ("usr/bin", "usr/games", "usr/local/bin")
_MAX_NOTES, _MAX_NAMES = 20, 300  # the second of one file
# Commands of scripts, and results that programs need.
_RESULTS = {
    r"libgvc6-config-update|\bdot -c": "the list of dot's plug-ins, without which dot writes no format",
    r"(?m)^CACERTS=": "Java's certificates (/etc/ssl/certs/java/cacerts)",
    r"\bsetcap\b": "capabilities of programs",
    r"\blocale-gen\b": "locales",
    r"(?m)^[ \t]*ucf\s": "settings that ucf copies to /etc",
    r"\b(?:adduser|useradd)\b": "users of packages",
    r"\bupdate-mime-database\b": "the list of MIME types",
}


def notes(root: Rootfs) -> list[str]:
    """Return notes on what can't start, and on what scripts of packages of the top layer would have written."""
    found = [*_unstartable(root)]
    more = [f"{len(found) - _MAX_NOTES} more files can't start."] if len(found) > _MAX_NOTES else []
    for pattern, result in _RESULTS.items():
        if packages := ", ".join(sorted(name for name, text in root.scripts.items() if re.search(pattern, text))):
            more.append(f"scripts of packages aren't run, so the image lacks {result}: {packages}.")
    return [*found[:_MAX_NOTES], *more]


def _unstartable(root: Rootfs) -> Iterator[str]:
    names: dict[str, str] = {}
    for path in sorted((*root.files, *root.links)):
        names.setdefault(path.rpartition("/")[2], path)
    stanzas = {stanza["Package"]: stanza for stanza in parse_stanzas(root.index()["status"])}
    provided = {*stanzas, *(each[0] for one in stanzas.values() for each in relations(one.get("Provides", "")))}
    lacking: dict[tuple[str, str], list[str]] = {}
    for path, elf in sorted(root.linked.items()):
        needed = relations(stanzas[root.files[path]].get("Depends", ""))
        packages = ", ".join(sorted({group[0] for group in needed if provided.isdisjoint(group)}))
        for name in _missing(root, path, elf, names, is_complete=not packages):
            lacking.setdefault((name, packages), []).append(path)
    for (name, packages), paths in lacking.items():
        where = f"which is only at /{names[name]}" if name in names else "which no package contains"
        remedy = f" Add the packages {packages}." if packages else ""
        yield f"{_listed(root, paths)} can't load {name}, {where}.{remedy}"
    interpreters: dict[str, list[str]] = {}
    for path, interpreter in sorted(root.interpreters.items()):
        is_optional = stanzas[root.files[path]].get("Priority") != "required"
        if is_optional and dirname(path) in _PROGRAMS and not root.resolve(interpreter):
            interpreters.setdefault(interpreter, []).append(path)
    for interpreter, paths in interpreters.items():
        package = {"/bin/sh": "dash", "/usr/bin/perl": "perl-base"}.get(interpreter, interpreter.rpartition("/")[2])
        yield f"{_listed(root, paths)} can't start without {interpreter}. Add the package {package}."


def _missing(root: Rootfs, path: str, elf: Elf, names: Mapping[str, str], *, is_complete: bool) -> Iterator[str]:
    """Yield the libraries that a file needs and that the linker can't find.

    `is_complete` is true if the image has all packages that the file's package requires. Plug-ins and private libraries
    can then need libraries that only some uses require, or that a program has loaded.
    """
    system = [f"usr/lib/{_TRIPLETS.get(elf.machine, '')}", "usr/lib", "usr/lib64"]
    place = dirname(path)
    own = [re.sub(r"\$\{?ORIGIN\}?", f"/{place}", directory) for directory in elf.search[:_MAX_NAMES]]
    is_public = place in system or (elf.is_program and place in _PROGRAMS)
    for name in elf.needed[:_MAX_NAMES]:
        directories = [""] if name.startswith("/") else [*own, *(f"/{directory}" for directory in system)]
        is_checked = is_public or not (is_complete or name in names)
        if is_checked and not any(root.resolve(f"{each}/{name}") for each in directories):
            yield name


def _listed(root: Rootfs, paths: list[str]) -> str:
    return some([f"/{path} of {root.files[path]}" for path in paths], 2)
