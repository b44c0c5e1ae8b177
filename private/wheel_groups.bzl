"""Defines group_wheels, which assigns wheels to layers by their names and sizes.

One layer for each wheel would be best for sharing and upgrades. However, runtimes support at most 127 layers, and each
layer needs requests. Therefore, each large wheel is a separate layer, and small wheels are grouped by a hash of their
names. Services rarely have the same small wheels, so their groups aren't shared. If a group is too large, the next bit
of the hash splits the group. Groups are independent: adding, upgrading, or removing a package changes only one group,
and splits or joins at most one other group. Versions have no effect on the groups."""

# Minimum size of a wheel with a separate layer, in bytes. ADR 0046 has the measurements.
ALONE = 128 << 10

# Minimum size of a wheel whose layer caches store as a recipe: if recipes are lost, Bazel builds only few of them again.
RECIPE = 2 << 20

# Maximum size of a group in bytes, which is the maximum upload after an upgrade of a small package.
TOGETHER = 4 << 20

_BITS = 32
_MASK = (1 << _BITS) - 1

# 2**32 divided by the golden ratio. The multiplication distributes values that differ in only a few bits.
_MIX = 0x9E3779B1

# Limits of loops, because Starlark has no `while`. An iteration splits a group or doubles a limit, so far fewer
# iterations are necessary.
_TURNS = 1 << 20
_DOUBLINGS = 64

def _side(name, bit):
    return ((hash(name) * _MIX) & _MASK) >> (_BITS - 1 - bit) & 1

def _groups(sizes, together):
    """Returns groups of wheel names, split by bits of the names' hashes.

    A group has at most `together` bytes, or all bits are used.
    """
    groups = []
    waiting = [(0, sorted(sizes))]
    for _ in range(_TURNS):
        if not waiting:
            break
        bit, names = waiting.pop()
        total = 0
        for name in names:
            total += sizes[name]
        if bit == _BITS or total <= together:
            groups.append(names)
        else:
            waiting += [(bit + 1, [name for name in names if _side(name, bit) == side]) for side in (0, 1)]
    return [names for names in groups if names]

def group_wheels(sizes, budget, alone = ALONE, together = TOGETHER):
    """Assigns wheels (name to size in bytes) to sorted groups of names, one for each layer.

    Doubles the limits until `budget` suffices.
    """
    for _ in range(_DOUBLINGS):
        groups = [[name] for name, size in sizes.items() if size >= alone]
        groups += _groups({name: size for name, size in sizes.items() if size < alone}, together)
        if len(groups) <= max(budget, 1):
            return sorted(groups)
        alone *= 2
        together *= 2
    return fail("{} layers aren't enough for {} wheels. Remove packages.".format(budget, len(sizes)))
