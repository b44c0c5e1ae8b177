"""The flags of verbs that read a wheel, and the wheel that they describe."""

from __future__ import annotations

from pathlib import Path

from rules_bento.images.wheels.wheel import Locked, Wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments
    from rules_bento.images.wheels.libraries import Watched

FLAGS = {
    "--exclude": 1,  # text: pattern of files that are left out
    "--exclude-preset": 1,  # the same, of a preset
    "--locked": 1,  # the wheel's SHA-256 in a lock
    "--allow-record-mismatch": 0,  # its RECORD may be wrong
    "--wheel": 1,
}


def read_wheel(arguments: Arguments) -> Wheel:
    """Return the wheel that the arguments name, without what is left out.

    Raises as `read_whole` and `exclude.without`.
    """
    return left(arguments, read_whole(arguments))


def read_whole(arguments: Arguments) -> Wheel:
    """Return the wheel that the arguments name. Raises as `Wheel.read`."""
    locked = Locked(
        arguments.optional("--locked"), allow_record_mismatch=bool(arguments.records("--allow-record-mismatch"))
    )
    return Wheel.read(Path(arguments.one("--wheel")), locked)


def left(arguments: Arguments, wheel: Wheel) -> Wheel:
    """Return the wheel without what the arguments leave out. Raises as `exclude.without`."""
    own, preset = arguments.texts("--exclude"), arguments.texts("--exclude-preset")
    if not own and not preset:
        return wheel
    from rules_bento.images.wheels.exclude import Exclude, without

    return without(wheel, Exclude(own, preset))


def watched(arguments: Arguments, wheel: Wheel) -> Watched | None:
    """Return what looks for libraries while the wheel is installed, where `--libraries` asks for them."""
    if not arguments.optional("--libraries"):
        return None
    from rules_bento.images.wheels.libraries import Watched

    return Watched(wheel)
