"""Which wheels share a layer, from their names and sizes alone.

A layer each would be best for sharing and for upgrades, but runtimes stop at 127 layers and every layer costs a
request. So large wheels stand alone, and small ones are put together by a hash of their names: into one group if
that is small enough, else by the first bit of the hash into two, and so on. Thus a group depends on no other
group: when a package is upgraded, comes or goes, its own group changes and, at most, parts or joins with its
neighbour. The versions have no say.

The hash is that of Java's `String.hashCode`, which is also Starlark's `hash`, with its bits mixed, so that the
same plan can be made where Bazel analyses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BUDGET = 40
"""Layers for wheels: what is left of 127 is for the base, models, sources, and images built on top."""

ALONE = 8 << 20
"""Bytes from which on a wheel has a layer of its own."""

TOGETHER = 8 << 20
"""Bytes that a group has at most."""

_BITS = 32
_MASK = (1 << _BITS) - 1
_MIX = 0x9E3779B1  # 2**32 divided by the golden ratio: spreads what differs in a few bits


def plan(
    sizes: Mapping[str, int], *, budget: int = BUDGET, alone: int = ALONE, together: int = TOGETHER
) -> list[list[str]]:
    """The names of `sizes` (normalized ones of distributions) in groups, each of which is a layer.

    `sizes` are bytes, of the wheels or unpacked, but all alike. There are at most `budget` groups: with more the
    other limits, in bytes, are doubled until it fits. Groups are sorted, and the names in them. Raises ValueError
    for limits that are not positive.
    """
    if min(budget, alone, together) < 1:
        raise ValueError(f"limits must be positive: budget {budget}, alone {alone}, together {together}")
    while True:
        groups = [[name] for name, size in sizes.items() if size >= alone]
        groups += _groups({name: size for name, size in sizes.items() if size < alone}, together)
        if len(groups) <= budget:
            return sorted(groups)
        alone *= 2
        together *= 2


def _groups(sizes: Mapping[str, int], together: int) -> list[list[str]]:
    """Part what is too large by one more bit of the hash, until nothing is, or the bits are used up."""
    groups = []
    waiting = [(0, sorted(sizes))]
    while waiting:
        bit, names = waiting.pop()
        if bit == _BITS or sum(sizes[name] for name in names) <= together:
            groups.append(names)
            continue
        for side in (0, 1):
            half = [name for name in names if _hash(name) >> (_BITS - 1 - bit) & 1 == side]
            waiting.append((bit + 1, half))
    return [names for names in groups if names]


def _hash(name: str) -> int:
    value = 0
    for character in name:
        value = 31 * value + ord(character) & _MASK
    return value * _MIX & _MASK
