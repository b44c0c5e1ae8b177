"""Which wheels share a layer: every one is somewhere, few layers, little changes when a package does."""

load("@bazel_skylib//lib:unittest.bzl", "asserts", "unittest")
load("//private:wheel_groups.bzl", "ALONE", "TOGETHER", "group_wheels")

_MB = 1 << 20
_BUDGET = 30

def _service(packages = 120):
    """Packages as a service has them: many small ones, a few large ones."""
    sizes = {"package-{}".format(number): (number * 7919) % 1500 * 100 for number in range(packages)}
    return sizes | {"numpy": 17 * _MB, "pyarrow": 45 * _MB, "scipy": 35 * _MB, "torch": 180 * _MB}

def _limits_impl(ctx):
    env = unittest.begin(ctx)
    sizes = _service()
    layers = group_wheels(sizes, 2 * _BUDGET)
    asserts.equals(env, sorted(sizes), sorted([name for layer in layers for name in layer]))
    asserts.true(env, len(layers) <= 2 * _BUDGET)
    for layer in layers:
        large = [name for name in layer if sizes[name] >= ALONE]
        asserts.true(env, not large or len(layer) == 1, str(layer))
        total = 0
        for name in layer:
            total += sizes[name]
        asserts.true(env, large or total <= TOGETHER, str(layer))
    asserts.equals(env, layers, group_wheels(dict(reversed(sizes.items())), 2 * _BUDGET), "the order has no say")
    asserts.equals(env, [["a", "b"]], group_wheels({"b": 10, "a": 20}, _BUDGET))
    asserts.equals(env, [["empty"]], group_wheels({"empty": 0}, _BUDGET))
    asserts.equals(env, [], group_wheels({}, _BUDGET))
    return unittest.end(env)

limits_test = unittest.make(_limits_impl)

def _budget_impl(ctx):
    env = unittest.begin(ctx)
    sizes = {"package-{}".format(number): _MB for number in range(64)}
    asserts.equals(env, [sorted(sizes)], group_wheels(sizes, 1))
    asserts.equals(env, 64, len(group_wheels(sizes, 100, alone = _MB)))
    for budget in (2, 5, 17, 40):
        large = {name: 3 * ALONE for name in sizes} | _service()
        asserts.true(env, len(group_wheels(large, budget)) <= budget)
    return unittest.end(env)

budget_test = unittest.make(_budget_impl)

def _changed(before, after):
    """The groups that are there no more, and the new ones."""
    old, new = [tuple(group) for group in before], [tuple(group) for group in after]
    return [group for group in old if group not in new], [group for group in new if group not in old]

def _upgrade_impl(ctx):
    env = unittest.begin(ctx)
    sizes = _service()
    before = group_wheels(sizes, _BUDGET)
    for name in sizes:
        for change in (-900000, 1000, 900000):
            gone, new = _changed(before, group_wheels(sizes | {name: max(0, sizes[name] + change)}, _BUDGET))

            # The group of the package is another one anyway; apart from it, it may part in two.
            asserts.true(env, len([group for group in new if name not in group]) <= 1, name)
            asserts.true(env, len(gone) <= 2, name)
        gone, new = _changed(before, group_wheels({other: size for other, size in sizes.items() if other != name}, _BUDGET))
        asserts.true(env, len(gone) <= 2 and len(new) <= 1, name)
    return unittest.end(env)

upgrade_test = unittest.make(_upgrade_impl)
