"""Messages, help, docstrings, and documents use plain technical English, as far as a program can see it."""

import ast
import re
import sys
from pathlib import Path

import pytest

from tests.prose.words import MAX_CHARACTERS, findings, has_remedy

sys.path.append("tools")

from messages import ERROR, messages

ROOT = Path()
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
# What is not yet rewritten: a directory or a file goes from this list with the commit that rewrites it.
PENDING: tuple[str, ...] = tuple((Path(__file__).parent / "pending.txt").read_text("utf-8").split())


def is_pending(path: str) -> bool:
    return any(path == pending or path.startswith(f"{pending}/") for pending in PENDING)


def wrong_messages() -> list[str]:
    wrong = []
    for message in messages(ROOT):
        if is_pending(message.path):
            continue
        found = findings(message.text)
        if message.kind == ERROR and message.is_for_people:
            if len(message.text) > MAX_CHARACTERS:
                found.append(f"{len(message.text)} characters")
            if not has_remedy(message.text):
                found.append("no remedy")
        wrong += [f"{message.path}:{message.line}: {finding}: {message.text}" for finding in found]
    return wrong


def docstrings(path: Path) -> list[tuple[int, str]]:
    tree = ast.parse(path.read_text("utf-8"))
    nodes = [
        node
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    return [(getattr(node, "lineno", 1), text) for node in nodes if (text := ast.get_docstring(node))]


def test_messages():
    assert not wrong_messages(), "\n".join(wrong_messages())


@pytest.mark.parametrize("directory", ["private", "py", "rules", "toolchains", "tools"])
def test_docstrings(directory):
    wrong = []
    for path in sorted((ROOT / directory).rglob("*")):
        if path.suffix in (".py", ".bzl") and not is_pending(path.as_posix()):
            for line, text in docstrings(path):
                wrong += [f"{path}:{line}: {finding}" for finding in findings(text)]
    assert not wrong, "\n".join(wrong)


def test_documents():
    wrong = []
    paths = [ROOT / name for name in DOCUMENTS] + sorted((ROOT / "docs").rglob("*.md"))
    for path in paths:
        if not path.exists() or is_pending(path.as_posix()):
            continue
        text = re.sub(
            r"^( *)```.*?^\1```$",
            lambda match: "\n" * match[0].count("\n"),
            path.read_text("utf-8"),
            flags=re.MULTILINE | re.DOTALL,
        )
        for number, paragraph in _paragraphs(text):
            wrong += [f"{path}:{number}: {finding}" for finding in findings(re.sub(r"\]\([^)]*\)", "]", paragraph))]
    assert not wrong, "\n".join(wrong)


def _paragraphs(text: str) -> list[tuple[int, str]]:
    found, line = [], 1
    for paragraph in re.split(r"(\n\s*\n)", text):
        if paragraph.strip():
            found.append((line, paragraph))
        line += paragraph.count("\n")
    return found


def test_nothing_is_pending_that_is_gone():
    assert [path for path in PENDING if not (ROOT / path).exists()] == []


def test_each_rule_can_fail():
    assert (
        findings("x: is no name")
        and findings("the folder")
        and findings("who asks, too")
        and findings("Of images, all")
        and findings("x: damaged. Lock again.")
    )
    assert not findings("x: invalid name. Use `folder` as in --folder")
    assert has_remedy("x: invalid name 'a'. Use letters.") and not has_remedy("x: invalid name.")
