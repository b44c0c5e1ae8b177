"""Generates edits of a workspace that uv has locked: each recorded field, and edits that must not matter."""

import re

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
_REQUIREMENTS = (
    'dependencies = ["alpha>=1.0,!=1.5", "beta[fast]; python_version < \'3.12\'", "two", "libx", "gamma", "delta"]'
)
# By field: the line of the root, and others in its place. Whether one matters, uv decides.
LINES = {
    _REQUIREMENTS: [
        *('"alpha>=1.1,!=1.5"', '"alpha>=1.0"', '"alpha"', '"alpha==1.0"', '"alpha~=1.0"', '"alpha>1.0,!=1.5"'),
        *('"alpha >= 1, != 1.5.0"', '"alpha!=1.5,>=1.0"', '"Alpha>=1.0,!=1.5"', '"alpha (>=1.0,!=1.5)"'),
        *('"alpha[x]>=1.0,!=1.5"', '"alpha>=1.0,!=1.5; os_name == \'nt\'"', '"alpha>=1.0,!=1.5; python_version > \'3\'"'),
        *('"alpha>=1.0,!=1.5; python_version ~= \'3.11\'"', '"alpha>=1.0,!=1.5; python_full_version ~= \'3.12.0\'"'),
        *('"alpha>=1.0,!=1.5; python_version >= \'3.11\'"', '"alpha>=1.0,!=1.5; python_version >= \'3.13\'"'),
        *('"alpha>=1.0,!=1.5; sys_platform != \'x\' or sys_platform == \'x\'"', '"alpha>=1.0,!=1.5", "alpha>=1.0,!=1.5"'),
        *('"alpha>=1.0,!=1.5", "gamma>=1"', '"alpha>=1.0,!=1.5", "gamma"', '"alpha>=1.0,!=1.5,<4"', ""),
    ],
    'big = ["delta>=1", "web[small]"]': [
        *('big = ["delta>=1.0", "web[small]"]', 'big = ["web[small]", "delta>=1"]', 'BIG = ["delta>=1", "web[small]"]'),
        *('big = ["delta>=2", "web[small]"]', 'big = ["delta>=1"]', 'big = ["delta>=1", "web[small]"]\nnew = []'),
        *('big = ["delta>=1", "web[small]", "alpha"]', 'big = ["delta>=1; python_version < \'3.15\'", "web[small]"]'),
        *('large = ["delta>=1", "web[small]"]', 'big = []', 'big = ["delta>=1", "web[small]"]\nnew = ["alpha"]'),
        *('big = ["delta>=1; python_full_version < \'3.12\'", "web[small]"]', 'big = ["delta", "web[small]"]'),
    ],
    "small = [\"gamma; platform_system == 'Windows' or sys_platform == 'linux'\"]": [
        "small = [\"gamma; sys_platform == 'win32' or sys_platform == 'linux'\"]",
        "small = [\"gamma; sys_platform == 'linux' or 'Windows' == platform_system\"]",
        "small = [\"gamma; sys_platform == 'linux' or (sys_platform == 'win32' and python_version >= '3.11')\"]",
        "small = [\"gamma; sys_platform == 'linux' or (sys_platform == 'win32' and python_version > '3.11')\"]",
        "small = [\"gamma; sys_platform == 'linux'\"]",
        "small = [\"gamma; sys_platform in 'linux'\"]",
        "small = [\"gamma\"]",
    ],
    'dev = ["alpha", "delta<3"]': [
        *('dev = ["delta<3", "alpha"]', 'DEV = ["alpha", "delta <3"]', 'dev = ["alpha", "delta<3.0.0"]'),
        *('dev = ["alpha", "delta<2"]', 'dev = ["alpha"]', 'dev = ["alpha", "delta<3", "gamma"]', 'dev = []'),
        *('dev = ["alpha; os_name == \'nt\'", "delta<3"]', 'dev = ["alpha", "delta<3"]\nmore = []'),
        *('dev = ["alpha", "delta<3"]\nmore = ["alpha"]', 'dev = ["alpha; python_version < \'4\'", "delta<3"]'),
    ],
    'test = [{ include-group = "dev" }, "gamma>=1"]': [
        *('test = ["alpha", "delta<3", "gamma>=1"]', 'test = ["gamma>=1", {include-group = "dev"}]', 'test = ["gamma>=1"]'),
        *('Test = [{ include-group = "DEV" }, "gamma>=1"]', 'test = [{ include-group = "dev" }, "gamma>=2"]'),
        *('test = [{ include-group = "dev" }]', 'test = [{ include-group = "dev" }, "gamma>=1", "gamma>=1.0"]'),
        'test = [{ include-group = "dev" }, "gamma>=1", "alpha"]',
    ],
    'requires-python = ">=3.11,<3.14"': [
        f'requires-python = "{text}"'
        for text in (
            *("<3.14,>=3.11", ">= 3.11, < 3.14", ">=3.11.0,<3.14", ">=3.11,<3.14,!=3.12.1", ">=3.11,<3.14.0", "~=3.11,<3.14"),
            *(">=3.11", ">=3.12,<3.14", ">=3.11,<3.13", ">3.11,<3.14", ">=3.11.4,<3.14", "<3.14", "==3.12.*", ">=3.11,<4"),
            *(">=3.10,<3.14", ">=3.9,<3.14", ">=3.11,<=3.14"),
        )
    ],
    'requires-python = ">=3.10"': [
        *('requires-python = ">=3.9"', 'requires-python = ">=3.11"', 'requires-python = ">=3.12"', ""),
        *('requires-python = ">=3.10,<3.13"', 'requires-python = ">=3.10,<3.15"'),
    ],
    'constraint-dependencies = ["delta<3"]': [
        f"constraint-dependencies = [{text}]"
        for text in (
            *('"delta<3.0"', '"Delta <3"', '"delta<3; python_version < \'5\'"', '"delta<3; sys_platform == \'linux\'"'),
            *('"delta<4"', '"delta<=3"', '"delta==1.0"', '"delta<3", "alpha<9"', '"alpha<3"', "", '"delta<3", "delta<3"'),
            *('"alpha<9", "delta<3"', '"delta<3; os_name == \'x\'"', '"delta<3", "zeta"'),
        )
    ],
    "override-dependencies = [\"gamma>=1; python_version >= '3.12'\"]": [
        f"override-dependencies = [{text}]"
        for text in (
            *('"gamma >=1.0; python_full_version >= \'3.12\'"', '"Gamma>=1; \'3.12\' <= python_version"', '"gamma>=1"', ""),
            *('"gamma>=1; python_version >= \'3.13\'"', '"gamma>=2; python_version >= \'3.12\'"', '"gamma==1.0"'),
            *('"gamma>=1; python_version >= \'3.12\'", "delta>=1"', '"delta>=1"', '"gamma>=1; python_version > \'3.11\'"'),
            *('"gamma>=1; python_version not in \'3.11\'"', '"gamma>=1; python_version < \'3.12\'"', '"gamma; os_name == \'x\'"'),
        )
    ],
    'build-constraint-dependencies = ["setuptools<90"]': [
        *('build-constraint-dependencies = ["setuptools <90.0"]', 'build-constraint-dependencies = ["setuptools<91"]', ""),
        'build-constraint-dependencies = ["setuptools<90", "wheel"]',
    ],
    'exclude-dependencies = ["unused"]': [
        *('exclude-dependencies = ["Unused"]', 'exclude-dependencies = ["unused", "zeta"]', "", 'exclude-dependencies = []'),
    ],
    "environments = [\"sys_platform == 'linux'\", \"sys_platform == 'darwin'\"]": [
        *("environments = [\"platform_system == 'Linux'\", \"sys_platform == 'darwin'\"]", "environments = []", ""),
        *("environments = [\"sys_platform == 'linux'\"]", "environments = \"sys_platform == 'linux'\""),
        "environments = [\"sys_platform == 'darwin'\", \"sys_platform == 'linux'\"]",
        "environments = [\"sys_platform == 'linux'\", \"sys_platform == 'darwin' and python_version >= '3.12'\"]",
    ],
    "required-environments = [\"sys_platform == 'linux' and platform_machine == 'x86_64'\"]": [
        "required-environments = [\"platform_machine == 'x86_64' and sys_platform == 'linux'\"]",
        "required-environments = [\"sys_platform == 'linux'\"]",
        "",
    ],
    'resolution = "highest"': [
        *('resolution = "lowest"', 'resolution = "lowest-direct"', "", 'resolution = "highest"\nindex-strategy = "first-index"'),
    ],
    'prerelease = "if-necessary"': [*(f'prerelease = "{each}"' for each in ("allow", "disallow", "explicit")), ""],
    'fork-strategy = "fewest"': ['fork-strategy = "requires-python"', ""],
    'conflicts = [[{ extra = "big" }, { group = "test" }]]': [
        'conflicts = [[{ group = "test" }, { extra = "big", package = "web" }]]',
        'conflicts = [[{ extra = "big" }, { extra = "small" }]]',
        'conflicts = [[{ extra = "BIG" }, { group = "Test" }]]',
        "conflicts = []",
        "",
    ],
    'members = ["members/*"]': [
        *('members = ["members/two"]', 'members = ["members/t*", "members/*"]', 'members = ["./members/*/"]'),
        *('members = ["members/*", "libs/y"]', 'members = ["nothing/*"]', 'members = ["mem*/*"]', 'members = ["members/[a-z]*"]'),
    ],
    'exclude = ["members/old"]': ['exclude = ["members/o*"]', 'exclude = ["members/old", "x/*"]', 'exclude = ["*/old"]', ""],
    "two = { workspace = true }": [
        *("two = { workspace = true, editable = true }", "two = [{ workspace = true }]", "two = { workspace = true, editable = false }"),
        *('TWO = { workspace = true }', 'two = { workspace = true }\nalpha = { path = "libs/x" }'),
        *('two = { workspace = true, marker = "sys_platform == \'linux\'" }', 'two = { workspace = true }\nnobody = { path = "x" }'),
    ],
    'libx = { path = "libs/x" }': [
        *('libx = { path = "./libs/x/" }', 'libx = { path = "libs/x", editable = true }', 'libx = { path = "libs/y" }'),
        *('libx = { path = "libs/x", package = false }', 'libx = { path = "members/../libs/x" }', 'LibX = { path = "libs/x" }'),
        *('libx = { path = "libs/x", editable = false }', "libx = [{ path = \"libs/x\", marker = \"os_name == 'posix'\" }]"),
        *('libx = { url = "http://127.0.0.1:9/libx-3-py3-none-any.whl" }', 'libx = { git = "http://127.0.0.1:9/libx" }'),
    ],
    'version = "1.0"': ['version = "1"', 'version = "1.1"', 'version = "v1.0"', 'version = "1.0.0"'],
    'name = "web"': ['name = "Web"', 'name = "web2"', 'name = "web"\ndescription = "x"'],
    'version = "1.0"\nrequires': ['version = "1.0"\nlicense = "MIT"\nrequires', 'dynamic = ["version"]\nrequires'],
    '[tool.other]\nname = "x"': ['[tool.other]\nname = "y"', "", "# comment", "[build-system]\nrequires = []", "[tool.ruff]\nline-length = 9"],
    'version = "2.0"': ['version = "2"', 'version = "2.1"', 'dynamic = ["version"]'],
    'dependencies = ["alpha"]': [
        *('dependencies = ["Alpha"]', 'dependencies = ["alpha>1"]', "dependencies = []", 'dependencies = ["alpha", "gamma"]'),
        *('dependencies = ["alpha; python_version >= \'3.11\'"]', 'dependencies = ["alpha"]\nclassifiers = []'),
        *('dependencies = ["alpha"]\n[dependency-groups]\ndev = ["gamma"]', 'dependencies = ["alpha"]\n[tool.uv]\npackage = false'),
        *('dependencies = ["alpha"]\n[tool.uv]\npackage = true', 'dependencies = ["alpha"]\n[tool.uv.sources]\nalpha = { path = "../../libs/x" }'),
    ],
    'requires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"': ['requires = ["hatchling"]'],
    'dependencies = ["delta"]': [
        *('dependencies = ["delta>1"]', 'dependencies = ["DELTA"]', 'dependencies = []', 'dependencies = ["delta", "alpha"]'),
        *('dependencies = ["delta"]\n[project.optional-dependencies]\nx = ["alpha"]', 'dependencies = ["delta"]\nkeywords = []'),
    ],
    'dev = ["gamma"]': ['dev = ["gamma", "alpha"]', "dev = []", "", 'dev = ["Gamma"]'],
    'version = "3"': ['version = "3.0"', 'version = "4"'],
    'requires-dist = ["alpha"]': ['requires-dist = ["alpha>1"]', "requires-dist = []"],
}  # fmt: skip


_SPELLINGS = (
    *(("alpha", "Alpha"), ("delta", "DELTA"), ("gamma", "Gamma"), ("small", "Small"), (">=1", ">= 1.0"), ("<3", " < 3.0.0")),
    *(("'3.12'", "'3.13'"), ("python_version", "python_full_version"), ("sys_platform == 'linux'", "platform_system == 'Linux'")),
    *(("beta", "Beta"), ("fast", "FAST"), ("1.5", "1.5.0"), ("x86_64", "aarch64"), ("linux", "win32"), ("two", "TWO")),
    *(("platform_system == 'Windows'", "sys_platform == 'win32'"), ("setuptools", "SetupTools"), ("big", "Big")),
    *(("delta", "zeta"), (">=1", ">=2"), ("<3", "<=3"), (" or ", " and "), ("dev", "Dev")),
)  # fmt: skip


def offered():
    """Return the packages of the index."""
    names = ("alpha", "delta", "zeta", "unused", "libx")
    found = [package(name, f"{number}.0") for name in names for number in (1, 2, 3)]
    found += [package("gamma", f"{number}.0", "delta") for number in (1, 2)]
    return [*found, package("beta", "1.0", extras={"fast": ["alpha"]}), package("setuptools", "80.0")]


def edits():
    """Yield names of edits, and the files of the edited workspaces."""
    for old, news in LINES.items():
        for number, new in enumerate(news):
            if old == _REQUIREMENTS:
                new = old.replace('"alpha>=1.0,!=1.5"', new).replace("[, ", "[")
            path = next(path for path, text in FILES.items() if old in text)
            yield f"{old[:30]} {number}", {**FILES, path: FILES[path].replace(old, new, 1)}
    for old in (old for old in LINES if "\n" not in old):
        path = next(path for path, text in FILES.items() if old in text)
        yield f"{old[:30]} comment", {**FILES, path: FILES[path].replace(old, f"# {old[:3]!r}\n{old}  # x", 1)}
    for old, new in _SPELLINGS:  # at one place each
        parts = ROOT.split(old)
        for at in range(1, len(parts)):
            root = old.join(parts[:at]) + new + old.join(parts[at:])
            yield f"{old} is {new} {at}", {**FILES, "pyproject.toml": root}
    for path, text in FILES.items():
        tables = re.split(r"(?m)^(?=\[)", text)
        yield f"{path} reversed", {**FILES, path: "\n".join(tables[::-1])}
