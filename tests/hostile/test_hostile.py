"""Hostile input of each kind is read or refused with a message, within bounds, and leaves nothing behind.

`RULES_BENTO_EXAMPLES` is the number of inputs that are changed at random, for each reader.
"""

import importlib
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import pytest

from tests.hostile import known
from tests.hostile.limited import RESIDENT, run
from tests.hostile.mutations import mutate
from tests.hostile.targets import READERS

EXAMPLES = int(os.environ.get("RULES_BENTO_EXAMPLES", "60"))
_CASES = [(reader, name) for reader, inputs in known.REFUSED.items() for name in inputs]


# All inputs of a reader are read by one process, which is followed by another where it dies.


def outcomes(reader: str, inputs: Mapping[str, Callable[[], bytes]]):
    return dict(zip(inputs, run(READERS[reader], [make() for make in inputs.values()]), strict=True))


@pytest.mark.parametrize("reader", known.REFUSED)
def test_hostile_input_is_rejected(reader):
    found = outcomes(reader, known.REFUSED[reader])
    assert not {name: outcome for name, outcome in found.items() if outcome.kind != "BentoError"}


@pytest.mark.parametrize("reader", known.BOUNDED)
def test_hostile_input_costs_little(reader):
    found = outcomes(reader, known.BOUNDED[reader])
    assert not {name: outcome for name, outcome in found.items() if not outcome.is_fine}
    assert max(outcome.megabytes for outcome in found.values()) < RESIDENT


@pytest.mark.parametrize("reader", READERS)
def test_input_that_is_changed_at_random_is_read_or_rejected(reader):
    seeds = READERS[reader].seeds()
    random = Random(reader)
    count = EXAMPLES // 2 if reader == "project" else EXAMPLES
    inputs = [mutate(READERS[reader].kind, seeds, random) for _ in range(count)]
    found = list(run(READERS[reader], [*seeds, *inputs]))
    assert {outcome.kind for outcome in found[: len(seeds)]} == {"read"}, "what is changed is sound before"
    assert not [(number, outcome) for number, outcome in enumerate(found[len(seeds) :]) if not outcome.is_fine]


def test_only_the_memory_of_an_input_counts():
    before = bytearray(b"x") * (RESIDENT + 100 << 20)
    [outcome] = run(READERS["archive-tar"], READERS["archive-tar"].seeds()[:1])
    assert outcome.kind == "read"
    assert outcome.megabytes < len(before) >> 20


def bound():
    resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))


@pytest.mark.parametrize(
    ("reader", "name"), [case for case in _CASES if case[0] in ("archive-zip", "archive-xz", "archive-zst")]
)
def test_the_command_says_a_line_and_leaves_nothing(tmp_path, reader, name):
    archive = tmp_path / READERS[reader].file
    archive.write_bytes(known.REFUSED[reader][name]())
    done = subprocess.run(
        [sys.executable, "-m", "bento_cli", "--home", str(tmp_path / "home"), "import", str(archive)],
        env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        preexec_fn=bound,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {archive.name, "home"}
    assert not [path for path in Path(tmp_path / "home").rglob("*") if "hi" in path.parts or path.suffix == ".yaml"]


def told_bounds():
    table = Path("docs/contributing/limits.md").read_text("utf-8")
    return re.findall(r"^\| `([\w.]+)` \| (\d+) \|", table, re.MULTILINE)


@pytest.mark.parametrize(("name", "value"), told_bounds())
def test_the_table_of_the_docs_has_these_bounds(name, value):
    words = name.removeprefix("bento_cli.").split(".")
    package = "bento_cli" if name.startswith("bento_cli.") else "rules_bento"
    paths = [Path("py", package, *words[:n]) for n in range(len(words))]
    length = sum(path.is_dir() or path.with_suffix(".py").exists() for path in paths) - 1
    found = importlib.import_module(".".join([package, *words[:length]]))
    for word in words[length:]:
        found = getattr(found, word)
    assert found == int(value)
