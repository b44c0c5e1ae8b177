"""Interpreters that are built for old systems lack what younger C libraries have; the package does without."""

import ast
from pathlib import Path

PACKAGE = Path("py")
# In os, fcntl, signal, select, mmap and time of CPython 3.11 for glibc 2.36, and not in the one for glibc 2.17 that rules_python's
# toolchains have.
YOUNGER = {"copy_file_range", "getrandom", "memfd_create", "pidfd_open", "pidfd_send_signal", "preadv2", "pwritev2"}
YOUNGER |= {"CLOCK_TAI", "EPOLLEXCLUSIVE", "MADV_FREE", "P_PIDFD"}
PREFIXES = ("F_ADD_SEALS", "F_GET_SEALS", "F_OFD_", "F_SEAL_", "GRND_", "MFD_", "RWF_")


def is_younger(name: str) -> bool:
    return name in YOUNGER or name.startswith(PREFIXES)


def asked_for(tree: ast.Module) -> set[str]:
    """Names of the kind that a module reads of another, or imports."""
    nodes = list(ast.walk(tree))
    names = [node.attr for node in nodes if isinstance(node, ast.Attribute)]
    names += [alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
    return {name for name in names if is_younger(name)}


def looked_for(tree: ast.Module) -> set[str]:
    """Names that a module asks with `hasattr` whether they are there."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and len(node.args) == 2]
    return {
        call.args[1].value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "hasattr" and isinstance(call.args[1], ast.Constant)
    }


def test_what_is_not_everywhere_is_looked_for_first():
    trees = {path: ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}
    assert any(asked_for(tree) for tree in trees.values())
    assert [str(path) for path, tree in trees.items() if not asked_for(tree) <= looked_for(tree)] == []
