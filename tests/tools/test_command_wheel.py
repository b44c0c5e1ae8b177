"""What the wheel of the command says of itself, in py/pyproject.toml, beside what is there."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

from rules_bento.formats.toml import read_toml

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "py/rules_bento"
PROJECT = read_toml((ROOT / "py/pyproject.toml").read_text("utf-8"), "py/pyproject.toml")["project"]
DISTRIBUTIONS = {"azure": "azure-identity", "google": "google-auth", "nacl": "pynacl", "yaml": "pyyaml"}
# Imported in the environment of a Bento, which has its own.
OF_BENTOS = {"_bentoml_sdk", "bentoml", "coverage", "pytest"}


def imported():
    """The names of distributions that the package imports."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module)
    tops = {name.partition(".")[0] for name in found} - sys.stdlib_module_names - OF_BENTOS - {"rules_bento"}
    # By its name, for Python 3.10.
    assert '("tomllib", "tomli")' in (PACKAGE / "formats/toml.py").read_text("utf-8")
    return {DISTRIBUTIONS.get(name, name) for name in tops} | {"tomli"}


def test_the_wheel_asks_for_what_is_imported():
    extras = PROJECT["optional-dependencies"].values()
    stated = {*PROJECT["dependencies"], *(text for extra in extras for text in extra)}
    names = {re.match(r"[\w-]+", text)[0] for text in stated}
    assert names - {"rules-bento"} == imported()


def test_the_version_is_said_once():
    module = (ROOT / "MODULE.bazel").read_text("utf-8")
    version = re.search(r'^    version = "([^"]+)"', module, re.MULTILINE)[1]
    assert PROJECT["version"] == version
    dependency = f'bazel_dep(name = "rules_bento", version = "{version}")'
    for path in ("README.md", "py/rules_bento/bento/migrate.py"):
        text = (ROOT / path).read_text("utf-8")
        assert text.count('bazel_dep(name = "rules_bento"') == text.count(dependency) == 1, path
    assert re.search(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)[1] == version
