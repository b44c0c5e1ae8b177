"""Compares static analysis of generated services with imports by the real BentoML, and verifies that it finds bugs.

Static analysis can reject any service. What it accepts must be what BentoML has after an import.

`RULES_BENTO_EXAMPLES=5000 RULES_BENTO_SEED=1 pytest tests/differential/test_services.py` compares more services.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import sys
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rules_bento.base.errors import BentoError

from tests.differential.comparison import Imports, differences, fields
from tests.differential.service_grammar import Program, program

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = int(os.environ.get("RULES_BENTO_EXAMPLES", "300"))
SEED = int(os.environ.get("RULES_BENTO_SEED", "0"))
# Edits of `rules_bento.bentos.service`, each of which removes a ban, and the seed of a service that finds it.
BUGS = json.loads(Path(__file__).with_name("planted_bugs.json").read_text("utf-8"))


def compared(imports: Imports, drawn: Program, ours: dict, directory: Path) -> list[str] | None:
    """Return the differences of a generated service from an import, or None if BentoML can't import it."""
    for path, content in drawn.files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content.encode())
    theirs = imports.ask(directory, drawn.service, ours, drawn.arguments)
    shutil.rmtree(directory)
    return None if "problem" in theirs else differences(ours, theirs)


def analyzed(drawn: Program) -> dict | None:
    """Return the metadata by static analysis, or None if it rejects the service."""
    files = {path: content.encode() for path, content in drawn.files.items()}
    try:
        info = importlib.import_module("rules_bento.bentos.service").read_service(drawn.service, files, drawn.arguments)
    except BentoError:
        return None
    return None if getattr(info, "unknowns", ()) else fields(info)


@pytest.fixture(scope="module")
def imports():
    pytest.importorskip("bentoml")
    server = Imports()
    yield server
    server.close()


def test_what_static_analysis_accepts_is_what_bentoml_imports(imports, tmp_path):
    accepted, failed, wrong = 0, 0, []
    for seed in range(SEED, SEED + EXAMPLES):
        drawn = program(seed)
        ours = analyzed(drawn)
        if ours is None:
            continue
        accepted += 1
        found = compared(imports, drawn, ours, tmp_path / str(seed))
        failed += found is None
        if found:
            files = "".join(f"# {path}\n{content}\n" for path, content in drawn.files.items())
            wrong.append(f"seed {seed}, {drawn.categories}: {found}\n{files}")
    sys.stdout.write(f"{EXAMPLES} services, {accepted} accepted, {failed} not importable, {len(wrong)} different\n")
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong[:10])
    assert accepted >= EXAMPLES * 0.3
    assert failed <= EXAMPLES * 0.05


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug["ban"])
def test_a_planted_bug_is_found(bug, imports, tmp_path):
    for seed, ours in results_with(bug, [bug["seed"], *range(SEED, SEED + EXAMPLES)]):
        drawn = program(seed)
        if ours not in (None, analyzed(drawn)) and compared(imports, drawn, ours, tmp_path / str(seed)):
            sys.stdout.write(f"{bug['ban']}: found by seed {seed}\n")
            return
    pytest.fail("no service finds the bug")


def results_with(bug: dict, seeds: list[int]) -> Iterator[tuple[int, dict | None]]:
    """Yield the result of each service with an analysis that has the bug."""
    sources = sources_with(bug["edits"])
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        try:
            replace_sources(sources)
            with os.fdopen(send, "w") as file:
                for seed in seeds:
                    ours = None
                    with suppress(Exception):  # of the bug
                        ours = analyzed(program(seed))
                    file.write(json.dumps([seed, ours]) + "\n")
                    file.flush()
        finally:
            os._exit(0)
    os.close(send)
    try:
        with os.fdopen(receive) as file:
            for line in file:
                yield tuple(json.loads(line))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def sources_with(edits: list[list[str]]) -> dict[str, str]:
    """Return the code of modules after edits: a module, a string that it contains once, and its replacement."""
    sources: dict[str, str] = {}
    for name, old, new in edits:
        module = f"rules_bento.bentos.service.{name}"
        text = sources.get(module) or Path(importlib.util.find_spec(module).origin).read_text("utf-8")
        assert text.count(old) == 1, f"{name}.py contains {old!r} {text.count(old)} times"
        sources[module] = text.replace(old, new)
    return sources


def replace_sources(sources: dict[str, str]) -> None:
    """Import the package again in this process, with other code of its modules."""

    def code(loader: SourceFileLoader, name: str) -> object:
        text = sources.get(name) or loader.get_source(name)
        return compile(text, loader.get_filename(name), "exec", dont_inherit=True)

    SourceFileLoader.get_code = code
    for name in [name for name in sys.modules if name.startswith("rules_bento.bentos.service")]:
        del sys.modules[name]
