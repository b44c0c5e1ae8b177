"""Writes down how much of a wheel images leave out."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.images.wheels import wheel_flags as wheel_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = wheel_arguments.FLAGS | {"--output": 1}


def run(arguments: Arguments) -> None:
    """Write the JSON object."""
    wheel = wheel_arguments.read_unfiltered(arguments)
    kept = {member.path for member in wheel_arguments.without_excluded(arguments, wheel).members}
    sizes = [member.size for member in wheel.members if member.path not in kept]
    excluded = {"name": wheel.distribution, "version": wheel.metadata.version, "files": len(sizes), "size": sum(sizes)}
    Path(arguments.required("--output")).write_text(json.dumps(excluded) + "\n", "utf-8")
