"""The flags of subcommands that read a wheel, and the wheel that the flags describe."""

from __future__ import annotations

from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments
    from rules_bento.images.wheels.libraries import Watched
    from rules_bento.images.wheels.wheel import Wheel

FLAGS = {
    "--exclude": 1,  # pattern of excluded files
    "--exclude-preset": 1,  # pattern of files that a preset excludes
    "--locked": 1,  # the SHA-256 of the wheel in a lock
    "--allow-record-mismatch": 0,  # accept a wrong RECORD
    "--wheel": 1,
}


def read_wheel(arguments: Arguments) -> Wheel:
    """Return the wheel that the arguments name, without excluded files.

    Raises as `read_unfiltered` and `exclude.without`.
    """
    return without_excluded(arguments, read_unfiltered(arguments))


def read_unfiltered(arguments: Arguments) -> Wheel:
    """Return the complete wheel that the arguments name. Raises as `Wheel.read`."""
    from rules_bento.images.wheels.wheel import Locked, Wheel

    locked = Locked(arguments.optional("--locked"), allow_record_mismatch=arguments.has("--allow-record-mismatch"))
    return Wheel.read(Path(arguments.required("--wheel")), locked)


def without_excluded(arguments: Arguments, wheel: Wheel) -> Wheel:
    """Return the wheel without the files that the arguments exclude. Raises as `exclude.without`."""
    own, preset = arguments.json_strings("--exclude"), arguments.json_strings("--exclude-preset")
    if not own and not preset:
        return wheel
    from rules_bento.images.wheels.exclude import Exclude, without

    return without(wheel, Exclude(own, preset))


def library_scanner(arguments: Arguments, wheel: Wheel) -> Watched | None:
    """Return a scanner that finds libraries while the wheel is installed; None without `--libraries`."""
    if not arguments.optional("--libraries"):
        return None
    from rules_bento.images.wheels.libraries import Watched

    return Watched(wheel)
