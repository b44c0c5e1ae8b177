"""Decides which wheels share a layer, from their names and sizes alone.

A layer each would be best for sharing and for upgrades, but runtimes stop at 127 layers and each costs requests. So large
wheels stand alone, and small ones are put together by a hash of their names: into one group if that is small enough,
else by the first bit of the hash into two, and so on. Thus a group depends on no other group: when a package is
upgraded, comes or goes, its own group changes and, at most, parts or joins with its neighbour. Versions have no say.
"""

# Bytes of a wheel from which on it is a layer of its own: worth a request, and of BentoML's closure six are.
ALONE = 2 << 20

# Bytes of wheels in a group, at most: what an upgrade of a small package sends.
TOGETHER = 4 << 20

_BITS = 32
_MASK = (1 << _BITS) - 1

# 2**32 divided by the golden ratio: spreads what differs in a few bits.
_MIX = 0x9E3779B1

# Bounds a loop, for Starlark has no `while`: each turn doubles a limit or splits a group, which ends long before.
_TURNS = 1 << 20

def _side(name, bit):
    return ((hash(name) * _MIX) & _MASK) >> (_BITS - 1 - bit) & 1

def _groups(sizes, together):
    """Splits groups that are too large by one more bit of the hash, until none is, or no bits are left."""
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
    """Puts wheels into groups, each of which is a layer.

    Args:
      sizes: dict of the name of a distribution to bytes of its wheel.
      budget: how many groups there may be; with more the other limits are doubled until it fits.
      alone: bytes from which on a wheel stands alone.
      together: bytes of a group, at most.

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
    return fail("{} wheels do not fit into {} layers".format(len(sizes), budget))
