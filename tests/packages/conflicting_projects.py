"""Generates projects with conflicts (`tool.uv.conflicts`) from a seed. uv locks the projects."""

import itertools
import json

from rules_bento.base.formats.toml import read_toml

from tests.packages.metadata_index import package

MARKERS = (
    "sys_platform == 'linux'",
    "sys_platform == 'darwin'",
    "python_version < '3.12'",
    "platform_machine != 'x86_64'",
)
LEAVES = ("leaf-a", "leaf-b")


def offered():
    """Return the packages of the index: several versions of leaves, and packages that depend on them."""
    leaves = [package(name, f"{number}.0") for name in LEAVES for number in (1, 2, 3)]
    leaves.append(package("leaf-a", "3.0+cu124", wheels=("py3-none-any",)))
    return [
        *leaves,
        package("mid", "1.0", "leaf-a", "leaf-b ; sys_platform == 'linux'"),
        package("mid", "2.0", "leaf-a>=1", "deep"),
        package("deep", "1.0", "leaf-b", extras={"fast": ["leaf-a", "speed"]}),
        package("speed", "1.0", "leaf-b>=1"),
        package("plugin", "1.0", "mid", extras={"x": ["leaf-a==1.0"], "y": ["leaf-a==2.0", "speed"]}),
    ]


def draw(random):
    """Return the text of each member's pyproject.toml, by directory. The first member is the root."""
    members = ["proj"] if random.random() < 0.7 else ["proj", "two"]
    with_plugin = random.random() < 0.25
    texts, items = {}, []
    for member in members:
        names = _some(random, "abc", 1 if member == "two" else 2)
        extras = {name: [_requirement(random, with_plugin)] for name in names}
        groups = {f"g{name}": [_requirement(random, False)] for name in _some(random, "abc", 0)}
        dependencies = [_free(random) for _ in range(random.randint(0, 2))]
        if "two" in members and member == "proj" and random.random() < 0.6:
            dependencies.append("two" + _marker(random, 0.3))
        texts[member] = (extras, groups, dependencies)
        items += [{"package": member, "extra": name} for name in extras]
        items += [{"package": member, "group": name} for name in groups]
    if "two" in members and "two" not in " ".join(texts["proj"][2]) and random.random() < 0.3:
        items += [{"package": member} for member in members]
    if "two" in members:
        names = list(texts["two"][0])
        extras = texts["proj"][0]
        for extra in list(extras):
            if random.random() < 0.3:
                extras[extra].append(f"two[{random.choice(names)}]{_marker(random, 0.4)}")
    conflicts = _conflicts(random, items)
    if with_plugin:
        conflicts.append([{"package": "plugin", "extra": "x"}, {"package": "plugin", "extra": "y"}])
    return {name: _pyproject(name, *text, members, conflicts) for name, text in texts.items()}


def choices(pyprojects):
    """Yield all choices of members, extras, and groups."""
    documents = {name: read_toml(text, name) for name, text in pyprojects.items()}
    for count in range(1, len(documents) + 1):
        for members in itertools.combinations(documents, count):
            extras = sorted({each for name in members for each in documents[name]["project"]["optional-dependencies"]})
            groups = sorted({each for name in members for each in documents[name].get("dependency-groups", {})})
            for some in _subsets(extras):
                for more in _subsets(groups):
                    yield list(members), some, more


def _subsets(names):
    return [list(some) for count in range(len(names) + 1) for some in itertools.combinations(names, count)]


def _some(random, names, least):
    return sorted(random.sample(names, random.randint(least, len(names))))


def _marker(random, chance):
    return f" ; {random.choice(MARKERS)}" if random.random() < chance else ""


def _requirement(random, with_plugin):
    if with_plugin and random.random() < 0.6:
        return f"plugin[{random.choice('xy')}]{_marker(random, 0.3)}"
    if random.random() < 0.2:
        return f"deep[fast]{_marker(random, 0.3)}"
    return f"{random.choice(LEAVES)}=={random.choice(('1.0', '2.0', '3.0', '3.0'))}{_marker(random, 0.3)}"


def _free(random):
    return random.choice(("mid", "mid<2", "deep", "deep[fast]", "speed", "leaf-a", "plugin")) + _marker(random, 0.2)


def _conflicts(random, items):
    """Return sets of items: all extras of a project, or some of all items."""
    sets = [[item for item in items if item["package"] == "proj" and "extra" in item]]
    sets += [random.sample(items, min(len(items), random.randint(2, 3))) for _ in range(random.randint(0, 2))]
    return [one for one in sets if len(one) > 1]


def _pyproject(name, extras, groups, dependencies, members, conflicts):
    lines = ["[project]", f'name = "{name}"', 'version = "0"', 'requires-python = ">=3.10"']
    lines += [f"dependencies = {json.dumps(dependencies)}", "[project.optional-dependencies]"]
    lines += [f"{extra} = {json.dumps(declared)}" for extra, declared in extras.items()]
    lines += ["[dependency-groups]", *(f"{group} = {json.dumps(declared)}" for group, declared in groups.items())]
    lines += ["[tool.uv]", "package = false", "default-groups = []"]
    if name == "proj":
        lines += ["conflicts = [" + ", ".join(f"[{', '.join(map(_inline, one))}]" for one in conflicts) + "]"]
        if len(members) > 1:
            lines += ["[tool.uv.sources]", "two = { workspace = true }", "[tool.uv.workspace]", 'members = ["two"]']
    return "\n".join([*lines, ""])


def _inline(item):
    return "{ " + ", ".join(f'{key} = "{value}"' for key, value in item.items()) + " }"
