"""Reads requirements with hashes, as `uv pip compile`, `uv export`, and pip-tools write them."""

from __future__ import annotations

from rules_bento.base.typing_lite import Any, Mapping
from rules_bento.bentos.packages.locks.neutral_lock import PROJECT, Edge, NeutralLock
from rules_bento.bentos.packages.requirement_syntax import (
    INDEX_OPTIONS,
    Line,
    check,
    local_path,
    logical_lines,
    named_format,
    normalize_name,
    parse_lines,
    plain_pin,
    reject_option,
)

_PROJECT = ("-e .", "-e ./", ".", "./")  # as `uv export` writes it


def read(lock: NeutralLock, text: str, _: Mapping[str, Any]) -> None:
    """Add what a lock has. Raises BentoError for what an image can't verify."""
    with named_format(text, lock.origin):
        _read(lock, text)


def _read(lock: NeutralLock, text: str) -> None:
    lines = [line for line in logical_lines(text, lock.origin) if line.text.partition(";")[0].strip() not in _PROJECT]
    requirements, options = parse_lines(lines)
    for option in options:
        reject_option(option)
    index = [f"{option.flag} {option.value}".strip() for option in options if option.flag in INDEX_OPTIONS]
    named = ",".join(option.value for option in options if option.flag == "--only-binary").split(",")
    only_wheels = {name.strip() if ":" in name else normalize_name(name.strip()) for name in named}
    for line in requirements:
        hashes, found = [{"hash": f"sha256:{each}"} for each in line.hashes], None
        if not plain_pin(line.text):  # parsing with `packaging` is slow
            if not line.is_commit and (path := local_path(line.text)):
                lock.reject(line.text, "the path", path)
            found = check(line.text, line.place)
        if found and found.url:
            edge = _direct(lock, line, found.url)
        elif line.pin:
            edge = lock.add(line.name, line.pin[1], hashes, index)
        else:
            lock.fail(f"{line.text[:100]!r} has no exact version", place=line.place)
        table = lock.packages[line.name, edge.get("version", "")]
        table |= {"only-wheels": True} if only_wheels & {":all:", line.name} else {}
        table |= {"extras": sorted({*table.get("extras", ()), *found.extras})} if found and found.extras else {}
        lock.require(PROJECT, edge, str(found.marker or "") if found else "")


def _direct(lock: NeutralLock, line: Line, url: str) -> Edge:
    if not url.startswith("git+"):
        return lock.add_direct(line.name, url, line.hashes)
    address, _, fragment = url.removeprefix("git+").partition("#")
    address, _, commit = address.rpartition("@")
    paths = [part.partition("=")[2] for part in fragment.split("&") if part.startswith("subdirectory=")]
    return lock.add_direct(line.name, address, commit=commit or "-", path="".join(paths[:1]))
