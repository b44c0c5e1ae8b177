"""Reads a lock of any form into the one that a hub is made of; module extensions run it."""

from __future__ import annotations

from pathlib import Path

from rules_bento.packages import lock as locks
from rules_bento.packages.conflicts import Choice
from rules_bento.packages.indexes import Indexes
from rules_bento.packages.requirements import normalize_name
from rules_bento.packages.resolution import normalize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from rules_bento.arguments import Arguments

FLAGS = {
    "--extra": 1,  # `*` for all
    "--group": 1,  # `*` for all
    "--indexes": 1,  # JSON
    "--lock": 1,
    "--member": 1,  # `*` for all
    "--output": 1,
    "--python-version": 1,
    "--uv": 1,
}


def run(arguments: Arguments) -> None:
    """Write the lock as JSON."""
    members, extras, groups = (_chosen(arguments.repeated(flag)) for flag in ("--member", "--extra", "--group"))
    lock = normalize(
        Path(arguments.required("--lock")),
        uv=Path(arguments.required("--uv")),
        requires_python=f"=={arguments.required('--python-version')}.*",
        choice=Choice(members, extras, groups),
        indexes=Indexes.from_json(arguments.optional("--indexes"), arguments.required("--lock")),
    )
    Path(arguments.required("--output")).write_text(locks.dumps(lock), "utf-8")


def _chosen(names: Collection[str]) -> list[str] | None:
    return None if "*" in names else [normalize_name(name) for name in names]
