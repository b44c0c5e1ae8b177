"""Generates edits of a workspace that uv has locked: each recorded field, and edits that must not matter."""

from tests.packages.metadata_index import package

ROOT = """\
[project]
name = "web"
version = "1.0"
requires-python = ">=3.11,<3.14"
dependencies = ["alpha>=1.0,!=1.5", "beta[fast]; python_version < '3.12'", "two", "libx", "gamma", "delta"]
[project.optional-dependencies]
big = ["delta>=1", "web[small]"]
small = ["gamma; platform_system == 'Windows' or sys_platform == 'linux'"]
[dependency-groups]
dev = ["alpha", "delta<3"]
test = [{ include-group = "dev" }, "gamma>=1"]
[tool.uv]
constraint-dependencies = ["delta<3"]
override-dependencies = ["gamma>=1; python_version >= '3.12'"]
build-constraint-dependencies = ["setuptools<90"]
exclude-dependencies = ["unused"]
environments = ["sys_platform == 'linux'", "sys_platform == 'darwin'"]
required-environments = ["sys_platform == 'linux' and platform_machine == 'x86_64'"]
resolution = "highest"
prerelease = "if-necessary"
fork-strategy = "fewest"
conflicts = [[{ extra = "big" }, { group = "test" }]]
[[tool.uv.dependency-metadata]]
name = "unused"
version = "1"
requires-dist = ["alpha"]
[tool.uv.workspace]
members = ["members/*"]
exclude = ["members/old"]
[tool.uv.sources]
two = { workspace = true }
libx = { path = "libs/x" }
[tool.other]
name = "x"
"""
TWO = """\
[project]
name = "Two"
version = "2.0"
requires-python = ">=3.10"
dependencies = ["alpha"]
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
"""
LIBX = '[project]\nname = "libx"\nversion = "3"\ndependencies = ["delta"]\n[dependency-groups]\ndev = ["gamma"]\n'
FILES = {
    "pyproject.toml": ROOT,
    "members/two/pyproject.toml": TWO,
    "members/old/pyproject.toml": TWO.replace("Two", "old"),
    "libs/x/pyproject.toml": LIBX,
    "libs/y/pyproject.toml": LIBX,
}
# By field: the line of the root, and others in its place. Whether one matters, uv decides.
LINES = {
    '"alpha>=1.0,!=1.5"': [
        *('"alpha >= 1, != 1.5.0"', '"alpha!=1.5,>=1.0", "gamma>=1"', '"alpha[x]>=1.0,!=1.5"', '"alpha>=1.0,!=1.5; os_name == \'nt\'"'),
        *('"alpha>=1.0,!=1.5; python_version >= \'3.11\'"', '"alpha>=1.0,!=1.5", "Alpha>=1.0,!=1.5"', '"alpha>=1.0,!=1.5,<4"'),
    ],
    'big = ["delta>=1", "web[small]"]': [*('BIG = ["web[small]", "delta>=1.0"]', 'big = ["delta>=1", "web[small]"]\nnew = []', 'big = ["delta>=1"]')],
    'dev = ["alpha", "delta<3"]': ['DEV = ["delta <3", "alpha"]', 'dev = ["alpha"]', 'dev = ["alpha", "delta<3"]\nmore = []'],
    'test = [{ include-group = "dev" }, "gamma>=1"]': ['test = ["alpha", "delta<3", "gamma>=1"]', 'test = ["gamma>=1"]'],
    'requires-python = ">=3.11,<3.14"': [*('requires-python = "<3.14,>=3.11.0"', 'requires-python = ">=3.12,<3.14"', 'requires-python = ">=3.11,<=3.14"')],
    'constraint-dependencies = ["delta<3"]': [*('constraint-dependencies = ["Delta <3.0", "zeta"]', 'constraint-dependencies = ["delta<3", "absent<9"]', "")],
    "override-dependencies = [\"gamma>=1; python_version >= '3.12'\"]": ['override-dependencies = ["gamma==1.0"]', ""],
    'build-constraint-dependencies = ["setuptools<90"]': ['build-constraint-dependencies = ["setuptools<91"]'],
    'exclude-dependencies = ["unused"]': ['exclude-dependencies = ["Unused", "zeta"]', 'exclude-dependencies = ["delta"]', ""],
    "environments = [\"sys_platform == 'linux'\", \"sys_platform == 'darwin'\"]": [
        "environments = [\"platform_system == 'Linux'\", \"sys_platform == 'darwin'\"]",
        "environments = \"sys_platform == 'linux'\"",
    ],
    'resolution = "highest"': ['resolution = "lowest"', 'resolution = "highest"\nunknown = 1', 'system-certs = true'],
    'conflicts = [[{ extra = "big" }, { group = "test" }]]': ['conflicts = [[{ group = "test" }, { extra = "big", package = "web" }]]', "conflicts = []"],
    'members = ["members/*"]': ['members = ["./members/*/"]', 'members = ["members/*", "libs/y"]', 'members = ["nothing/*"]'],
    'exclude = ["members/old"]': ['exclude = ["*/old"]', ""],
    "two = { workspace = true }": ["two = [{ workspace = true }]", "two = { workspace = true, editable = false }"],
    'libx = { path = "libs/x" }': ['libx = { path = "members/../libs/x" }', 'libx = { git = "http://127.0.0.1:9/libx" }'],
    'version = "1.0"': ['version = "1"', 'version = "1.1"', 'dynamic = ["version"]'],
    '[tool.other]\nname = "x"': ["# comment", "[build-system]\nrequires = []", "[[tool.uv.index]]\nurl = \"http://127.0.0.1:9\""],
    'version = "2.0"': ['version = "2"', 'dynamic = ["version"]'],
    'dependencies = ["delta"]': ['dependencies = ["DELTA"]', 'dependencies = ["delta", "alpha"]'],
    'dev = ["gamma"]': ["dev = []", 'dev = ["Gamma"]'],
}  # fmt: skip


def offered():
    """Return the packages of the index."""
    names = ("alpha", "delta", "zeta", "unused", "libx")
    found = [package(name, f"{number}.0") for name in names for number in (1, 2, 3)]
    found += [package("gamma", f"{number}.0", "delta") for number in (1, 2)]
    return [*found, package("beta", "1.0", extras={"fast": ["alpha"]}), package("setuptools", "80.0")]


def edits():
    """Yield names of edits, and the files of the edited workspaces."""
    for old, news in LINES.items():
        path = next(path for path, text in FILES.items() if old in text)
        for number, new in enumerate(news):
            yield f"{old[:30]} {number}", {**FILES, path: FILES[path].replace(old, new, 1)}
