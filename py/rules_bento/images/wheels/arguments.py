"""What verbs that read a wheel are told of it."""

from __future__ import annotations

from pathlib import Path

from rules_bento.images.wheels.wheel import Locked, Wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = {
    "--locked": 1,  # the wheel's SHA-256 in a lock
    "--record-errors": 0,  # its RECORD may be wrong
    "--wheel": 1,
}


def read_wheel(arguments: Arguments) -> Wheel:
    """The wheel that the arguments name. Raises as `Wheel.read`."""
    locked = Locked(arguments.optional("--locked"), record_errors=bool(arguments.records("--record-errors")))
    return Wheel.read(Path(arguments.one("--wheel")), locked)
