"""Every Python file of the repository passes ruff and mypy, which come from the lock as all else does.

What is checked are the files that this test declares; e2e/lint.py holds that these are all.
"""

import ast
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rules_bento.bentos.packages.virtualenv import make_environment

ROOTS = [Path(root) for root in os.environ["RULES_BENTO_ROOTS"].split(os.pathsep)]
# The product is typed throughout, other code where it has types.
STRICT = ("py", "toolchains", "tools")
LENIENT = ("bench", "e2e", "examples", "tests")
# Folders that modules are imported from, in which their names begin.
BASES = ("py", ".", "e2e", "tools")
LENIENT_SETTINGS = {
    "check_untyped_defs": False,
    "disallow_any_generics": False,
    "disallow_incomplete_defs": False,
    "disallow_untyped_calls": False,
    "disallow_untyped_decorators": False,
    "disallow_untyped_defs": False,
    "warn_return_any": False,
    "warn_unused_ignores": False,
    # What a test has made a line above is what it takes it for.
    "disable_error_code": ["arg-type", "assignment", "attr-defined", "call-overload", "import-not-found", "import-untyped", "index", "list-item", "misc", "operator", "union-attr"],
}  # fmt: skip
# A quarter of mypy's time, for few lines of tests.
LARGE = {
    "module": ["graphql.*", "hpack.*", "moto.*", "numpy.*"],
    "follow_imports": "skip",
    "follow_imports_for_stubs": True,
}


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """The declared files, copied: runfiles are links, which the tools do not walk."""
    root = tmp_path_factory.mktemp("tree")
    shutil.copy("pyproject.toml", root)
    for directory in STRICT + LENIENT:
        for source in Path(directory).rglob("*.py"):
            (root / source).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / source)
    return root


def passes(command, tree, **variables):
    done = subprocess.run(
        command, cwd=tree, env={"HOME": str(tree), **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def ruff():
    locked = [str(program) for root in ROOTS for program in root.glob("ruff-*.data/scripts/ruff")]
    return locked[0] if locked else shutil.which("ruff")


def test_ruff_finds_nothing(ruff, tree):
    passes([ruff, "check", "--no-cache", "."], tree)


def test_ruff_would_format_nothing(ruff, tree):
    assert "files already formatted" in passes([ruff, "format", "--check", "--no-cache", "."], tree)


def top_level(source):
    """The names that a module has."""
    names = set()
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def test_benchmarks_and_scenarios_import_what_exists(tree):
    """No test runs benchmarks, and mypy does not look at names of the code that is not typed."""
    sources = [source for directory in ("bench", "e2e") for source in (tree / directory).glob("*.py")]
    names = {source.stem: top_level(source) for source in sources}
    wrong = [
        f"{source.name} imports {alias.name} of {node.module}"
        for source in sources
        for node in ast.walk(ast.parse(source.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in names
        for alias in node.names
        if alias.name not in names[node.module]
    ]
    assert not wrong


def test_no_test_module_imports_another(tree):
    """So that a target of Bazel needs only its own: fixtures are in conftest.py, and helpers in support modules."""
    wrong = [
        f"{source} imports {node.module}"
        for source in (tree / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(source.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and re.match(r"tests\..*\btest_", node.module or "")
    ]
    assert not wrong


def lenient(tree):
    """What pyproject.toml would have for the code that is not the product's."""
    sources = [source.relative_to(tree) for directory in LENIENT for source in (tree / directory).rglob("*.py")]
    parts = [source.with_suffix("").parts for source in sources]
    modules = [".".join(part[1:] if part[0] in BASES else part).removesuffix(".__init__") for part in parts]
    tables = [{"module": sorted(modules), **LENIENT_SETTINGS}, LARGE]
    lines = [[f"{name} = {json.dumps(value)}" for name, value in table.items()] for table in tables]  # TOML, too
    return "".join("\n[[tool.mypy.overrides]]\n" + "\n".join(each) + "\n" for each in lines)


def test_mypy_finds_nothing(tree, tmp_path):
    python = make_environment(tmp_path / "environment", ROOTS)
    settings = tmp_path / "pyproject.toml"
    settings.write_text((tree / "pyproject.toml").read_text("utf-8") + lenient(tree), "utf-8")
    command = [str(python), "-m", "mypy", "--config-file", str(settings), "--cache-dir", str(tmp_path / "cache")]
    command += ["--explicit-package-bases", "--no-incremental", "--exclude", "^tests/services/"]
    command += [directory for directory in STRICT + LENIENT if (tree / directory).exists()]
    report = passes(command, tree, MYPYPATH=os.pathsep.join(BASES))
    assert "Success: no issues found in " in report
    # A program of its own, for a later Python.
    command = [
        str(python),
        "-m",
        "mypy",
        "--strict",
        "--python-version",
        "3.11",
        "--cache-dir",
        str(tmp_path / "cache"),
    ]
    command += ["--config-file", os.devnull, "--disable-error-code", "import-not-found", "-p", "bento_proof"]
    assert "Success: no issues found in " in passes(command, tree, MYPYPATH="py")
