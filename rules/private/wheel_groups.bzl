"""Groups wheels into layers by their names and sizes.

One layer per wheel would be best for sharing and upgrades, but runtimes support at most 127 layers, and each needs requests. So large
wheels get their own layers, and small wheels are grouped by a hash of their names: one group if it is small enough, or else two by the
first bit of the hash, and so on. So no group depends on another: adding, upgrading, or removing a package changes only its group, and
splits or joins at most its neighbor. Versions have no influence."""

# Minimum size in bytes of a wheel with its own layer; six of BentoML's dependencies have one.
ALONE = 2 << 20

# Maximum size in bytes of a group: the upload for an upgrade of a small package.
TOGETHER = 4 << 20

_BITS = 32
_MASK = (1 << _BITS) - 1

# 2**32 divided by the golden ratio: distributes values that differ in a few bits.
_MIX = 0x9E3779B1

# Bounds a loop, because Starlark has no `while`: each turn doubles a limit or splits a group, which ends long before.
_TURNS = 1 << 20

def _side(name, bit):
    return ((hash(name) * _MIX) & _MASK) >> (_BITS - 1 - bit) & 1

def _groups(sizes, together):
    """Splits groups that are too large by one more bit of the hash, until all fit, or no bits are left."""
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
    """Groups wheels into layers.

    Args:
      sizes: dict of distribution name to wheel size in bytes.
      budget: maximum number of groups; the other limits are doubled until the groups fit.
      alone: minimum size of a wheel with its own group.
      together: maximum size of a group.

    Returns:
      A sorted list of sorted lists of names.
    """
    for _ in range(_TURNS):
        groups = [[name] for name, size in sizes.items() if size >= alone]
        groups += _groups({name: size for name, size in sizes.items() if size < alone}, together)
        if len(groups) <= max(budget, 1):
            return sorted(groups)
        alone *= 2
        together *= 2
    return fail("{} wheels need more than {} layers. Increase max_wheel_layers.".format(len(sizes), budget))
