"""Reads requirements with hashes, as `uv pip compile`, `uv export`, and pip-tools write them."""

from __future__ import annotations

from rules_bento.base.typing_lite import Any, Mapping
from rules_bento.bentos.packages.locks.neutral_lock import PROJECT, NeutralLock
from rules_bento.bentos.packages.requirement_syntax import (
    INDEX_OPTIONS,
    check,
    logical_lines,
    parse_lines,
    reject_option,
)

_PROJECT = ("-e .", "-e ./", ".", "./")  # as `uv export` writes it


def read(lock: NeutralLock, text: str, project: Mapping[str, Any]) -> None:
    """Add what a lock has. Raises BentoError for what an image can't verify."""
    lines = [line for line in logical_lines(text, lock.origin) if line.text.partition(";")[0].strip() not in _PROJECT]
    requirements, options = parse_lines(lines)
    for option in options:
        reject_option(option)
        if option.flag in ("-f", "--find-links") and "://" not in option.value:
            lock.is_project(option.flag, "the path", option.value)
    index = [f"{option.flag} {option.value}".strip() for option in options if option.flag in INDEX_OPTIONS]
    lock.requires_python = str(project.get("project", {}).get("requires-python", lock.requires_python))
    lock.declare(*PROJECT[:1], PROJECT[1:])
    for line in requirements:
        if line.is_direct:
            lock.is_project(line.name, "the address", line.text.partition("@")[2].strip())
        if not line.pin:
            lock.fail(f"{line.text[:100]!r} has no exact version")
        found = check(line.text, line.place)
        edge = lock.add(found.name, line.pin[1], [{"hash": f"sha256:{each}"} for each in line.hashes], index)
        lock.require(PROJECT, edge, str(found.marker or ""))
