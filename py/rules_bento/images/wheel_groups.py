"""Groups wheels into layers with the same algorithm as `private/wheel_groups.bzl`."""

from __future__ import annotations

from rules_bento.typing_lite import Mapping, Sequence

ALONE = 2 << 20  # minimum size in bytes of a wheel with its own layer
TOGETHER = 4 << 20  # maximum size in bytes of a group
MAX_GROUPS = 40  # default of `max_wheel_layers`
_BITS = 32
_MASK = (1 << _BITS) - 1
_MIX = 0x9E3779B1


def group_wheels(sizes: Mapping[str, int], budget: int = MAX_GROUPS) -> list[list[str]]:
    """Return at most `budget` sorted groups of wheel names. `sizes` maps names to sizes in bytes."""
    alone, together = ALONE, TOGETHER
    while True:
        groups = [[name] for name, size in sizes.items() if size >= alone]
        groups += _split(sorted(name for name, size in sizes.items() if size < alone), sizes, together, 0)
        if len(groups) <= max(budget, 1):
            return sorted(groups)
        alone, together = 2 * alone, 2 * together


def _split(names: Sequence[str], sizes: Mapping[str, int], together: int, bit: int) -> list[list[str]]:
    """Split `names` by the bits of the names' hashes, starting at `bit`. `together` is the maximum size of a group."""
    if not names:
        return []
    if bit == _BITS or sum(sizes[name] for name in names) <= together:
        return [list(names)]
    sides = ([name for name in names if _side(name, bit) == side] for side in (0, 1))
    return [group for part in sides for group in _split(part, sizes, together, bit + 1)]


def _side(name: str, bit: int) -> int:
    value = 0
    for letter in name:  # Starlark's `hash`
        value = value * 31 + ord(letter) & _MASK
    return (value * _MIX & _MASK) >> (_BITS - 1 - bit) & 1
