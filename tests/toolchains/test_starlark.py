"""Starlark that is shipped is as it has to be; e2e/lint.py looks at that of tests and examples, too."""

import ast
import json
import re
from pathlib import Path

import pytest

from tests.toolchains.starlark import MIRRORS, findings

FILES = (path for directory in ("private", "rules", "toolchains") for path in Path(directory).rglob("*"))
SOURCES = sorted(path for path in FILES if path.suffix in (".bazel", ".bzl"))


def test_shipped_starlark_follows_the_rules():
    assert len(SOURCES) > 60
    found = [finding for path in SOURCES for finding in findings(path.as_posix(), path.read_text("utf-8"))]
    assert not found, "\n".join(found)


def test_subcommands_with_several_cores_exist():
    [threaded] = re.findall(r"(?ms)^_THREADED = (\[.*?\])$", Path("private/helper.bzl").read_text("utf-8"))
    text = "\n".join(path.read_text("utf-8") for path in SOURCES)
    assert not [name for name in ast.literal_eval(threaded) if not re.search(rf'(ctx,\s*|name = )"{name}"', text)]


def test_the_lock_of_debian_packages_exists():
    text = Path("private/repositories/python.bzl").read_text("utf-8")
    [lock, version] = re.findall(r'^_DEBIAN_\w+ = "(?:@rules_bento//)?(.*)"$', text, re.M)
    packages = json.loads(Path(lock.replace(":", "/")).read_text("utf-8"))["packages"]["amd64"]
    assert f"libpython{version}-stdlib" in [package["name"] for package in packages]


def test_mirrors_are_there():
    text = "\n".join(path.read_text("utf-8") for path in SOURCES)
    assert not [name for name in MIRRORS if f"def {name}(" not in text], "nothing to allow there any more"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(a, b, c, *, d, e, g, h = 1): pass", "f has 7 parameters"),
        ("x = lambda a, b, c, d, e, f, g: 1", "lambda has 7 parameters"),
        ("def f():\n" + "    pass\n" * 110, "f has 111 lines"),
        ("def f(x):\n    # Of another paragraph.\n\n    return x.to_list()", "t.bzl:4: a depset is flattened"),
        ("def f(x):\n    y = [\n        each\n        for each in x.to_list()\n    ]", "t.bzl:4: a depset is"),
        ('load("a.bzl", "py_test")\npy_library(name = "a")', "t.bzl:2: py_library is used and not loaded"),
        ("x = PyInfo", "PyInfo is used and not loaded"),
        ("native.sh_test()", "native.sh_test is gone"),
        ('native.bind(name = "x")', "native.bind is gone"),
        ('workspace(name = "x")', "workspace is of WORKSPACE files"),
        ('x = "@@rules_bento~~bento~pypi//:x"', "is a canonical name"),
    ],
    ids=lambda value: value.splitlines()[0][:30],
)
def test_what_is_wrong_is_found(text, words):
    [found] = findings("t.bzl", text)
    assert words in found


@pytest.mark.parametrize(
    "text",
    [
        "def f(a, b, c, *, d, e, g, **kwargs): pass",
        "def f(x):\n    # A handful.\n    return x.to_list()",
        "def f(x):\n    return x.to_list()  # a handful",
        'load("a.bzl", "PyInfo", py_library = "x")\npy_library(y = PyInfo)',
        'x = "@@//a:b"\nnative.existing_rules()',
    ],
)
def test_valid_registrations_are_accepted(text):
    assert findings("t.bzl", text) == []
