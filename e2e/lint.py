"""Checks that the linters check every file, that Bazel runs every test file, and that documented code works."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from bentofile import FILES
from workbench import LEFT_OUT, REPOSITORY

from tests.docs.consoles import GIVEN, HELD
from tests.helpers.documents import blocks, documents, lost
from tests.toolchains.starlark import findings

if TYPE_CHECKING:
    from pathlib import Path

    from workbench import Checkout, Workbench

sys.path.append(str(REPOSITORY / "bench"))
import sizes

# Unusual on purpose, and absent from the checkouts of scenarios.
ODD = ("tests/services/", "e2e/smoke/presubmit/")
# Calls in documented BUILD files that this project defines. Other calls are rules of other projects, or MODULE.bazel.
STYLE_GUIDE_SINCE = "d5ae145"
SUBJECT = re.compile(
    r"(?=.{1,65}$)(build|chore|ci|docs|feat|fix|perf|refactor|revert|style|test)(\([a-z0-9_-]+\))?!?: [a-z].*[^.]"
)
OURS = re.compile(r"bento_\w+")
EXTENSIONS = ("bento", "bento_files")
ELSEWHERE = {"bento_startup_test": "startup"}


def lint_sees_every_file(bench: Workbench) -> str:
    """Check that the files of //tests/lint and of the documentation exist, and that each test file has a target."""
    starlark = files_that_end_in(".bzl", ".bazel")
    found = [finding for path in starlark for finding in findings(path, (REPOSITORY / path).read_text("utf-8"))]
    assert not found, "\n".join(found)
    assert not lost(REPOSITORY), "\n".join(lost(REPOSITORY))
    there = {path for path in files_that_end_in(".py") if not path.startswith(ODD)}
    seen = files_of(bench.plain, "deps(labels(data, //tests/lint:test_lint), 2)")
    missing = sorted(there - seen)
    assert not missing, f"//tests/lint doesn't check {', '.join(missing)}: add them to its data"
    tests = {path for path in there if re.search(r"^tests/(.*/)?test_[^/]*\.py$", path)}
    unused = sorted(tests - files_of(bench.plain, "labels(srcs, kind(pytest_test, //tests/...))"))
    assert not unused, f"no target has {', '.join(unused)}: add a pytest_test"
    unpinned = unpinned_actions()
    assert not unpinned, "\n".join(unpinned)
    odd = odd_subjects()
    assert not odd, "\n".join(odd)
    grown = sizes.increases(json.loads((REPOSITORY / sizes.FILE).read_text("utf-8")), sizes.count())
    grown += sizes.unexplained(REPOSITORY, "HEAD")
    assert not grown, "\n".join(grown)
    loaded, declared = documented_targets_load(bench.plain), documented_modules_load(bench.plain)
    documented_commands_run(bench.plain, bench.directory / "documented")
    documented = f"{loaded} targets, {declared} repositories and {len(GIVEN)} commands of documents"
    return f"{len(there)} files, {len(tests)} with tests; {len(starlark)} of Starlark; {documented}"


def unpinned_actions() -> list[str]:
    """Return the steps of workflows with an action without a commit, or a checkout without a choice for its token."""
    found = []
    for path in sorted((REPOSITORY / ".github/workflows").glob("*.yaml")):
        for step in re.findall(r"(?m)^ +- uses: .*\n(?: {8}.*\n)*", path.read_text("utf-8")):
            is_pinned = re.match(r" +- uses: [\w./-]+@[0-9a-f]{40} # v?[\d.]+\n", step)
            if not is_pinned or ("actions/checkout@" in step and "persist-credentials: " not in step):
                found.append(f"{path.name}: {step.strip()}")
    return found


def odd_subjects() -> list[str]:
    """Return the commits since the style guide whose subjects aren't conventional or exceed 65 characters."""
    log = subprocess.run(
        ["git", "-C", str(REPOSITORY), "log", "--no-merges", "--format=%h %s", f"{STYLE_GUIDE_SINCE}..HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.partition(" ") for line in log.stdout.splitlines()]  # a shallow clone may lack the commit
    return [f"{commit}: {subject}" for commit, _, subject in lines if not SUBJECT.fullmatch(subject)]


def documented_targets_load(checkout: Checkout) -> int:
    """Load each BUILD file block of the documentation in a separate package."""
    for number, block in enumerate(block for path in documents(REPOSITORY) for block in blocks(path)):
        # Readers replace the three dots.
        if block.language == "starlark" and "…" not in block.text:
            checkout.write(f"documented/{number}/BUILD.bazel", f"# {block.place}\n{build_file(block.text)}")
    asked = checkout.bazel("query", "--keep_going", "kind(rule, //documented/...)")
    assert asked.code == 0, asked.told()
    return len(asked.output.split())


def documented_modules_load(checkout: Checkout) -> int:
    """Evaluate the tags of the documented MODULE.bazel blocks, each with another name, without fetching."""
    names = []
    loads = "documented_{0} = use_extension('//toolchains:extensions.bzl', '{0}', dev_dependency = True)"
    tags = [loads.format(each) for each in EXTENSIONS]
    for number, block in enumerate(block for path in documents(REPOSITORY) for block in blocks(path)):
        text = block.text.replace("…", "0" * 64).replace("@package_metadata//:", "//tests/toolchains:")
        for tag in declarations(text) if block.language == "starlark" else []:
            [name] = [word for word in tag.keywords if word.arg == "name"]
            names.append(f"documented_{number}_{ast.literal_eval(name.value)}")
            name.value = ast.Constant(names[-1])
            tags.append(f"documented_{ast.unparse(tag.func)}({', '.join(map(ast.unparse, tag.keywords))})")
    # The lock before the first resolution is empty.
    checkout.write("base/BUILD.bazel", "")
    checkout.write("base/debian.lock.json", "")
    module = checkout.read("MODULE.bazel")
    checkout.write("MODULE.bazel", "\n".join([module, *tags, ""]))
    asked = checkout.bazel(
        "mod", "show_extension", *(f"<root>//toolchains:extensions.bzl%{each}" for each in EXTENSIONS)
    )
    checkout.write("MODULE.bazel", module)
    assert asked.code == 0, asked.told()
    lost = [name for name in names if not re.search(rf"\b{name}\b", asked.output)]
    assert not lost, f"{lost}: {asked.told()}"
    return len(names)


def documented_commands_run(checkout: Checkout, home: Path) -> None:
    """Run the commands that tests/docs/consoles.py assigns to this scenario. The other scenarios must exist."""
    gone = [path for path in HELD.values() if not (REPOSITORY / path).is_file()]
    assert not gone, f"tests/docs/consoles.py names {gone}"
    for path, text in FILES.items():
        checkout.write(f"svc/{path}", text)
    for command in GIVEN:
        _, verb, *words = command.split()
        checkout.bazel(verb, *words, BENTOML_HOME=str(home)).succeeded()


def declarations(text: str) -> list[ast.Call]:
    """Return the tags of `EXTENSIONS` in a block."""
    calls = [statement.value for statement in ast.parse(text).body if isinstance(statement, ast.Expr)]
    return [
        call
        for call in calls
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and ast.unparse(call.func.value) in EXTENSIONS
    ]


def build_file(text: str) -> str:
    """Return a BUILD file with the targets of this project's rules in a block, and with the load statement."""
    statements = [
        statement
        for statement in ast.parse(text).body
        if isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and isinstance(statement.value.func, ast.Name)
        and OURS.fullmatch(statement.value.func.id)
    ]
    names = {node.id for each in statements for node in ast.walk(each) if isinstance(node, ast.Name)}
    loads = [
        f'load("@rules_bento//rules:{ELSEWHERE.get(name, "defs")}.bzl", "{name}")\n'
        for name in sorted(names)
        if OURS.fullmatch(name)
    ]
    return "".join(loads) + "".join(f"{ast.unparse(statement)}\n" for statement in statements)


def files_of(checkout: Checkout, query: str) -> set[str]:
    """Return the source files in the labels of a query result."""
    asked = checkout.bazel("query", f"kind('source file', {query})", "--noimplicit_deps").succeeded()
    labels = (label.removeprefix("//") for label in asked.output.split())
    return {label.replace(":", "/").removeprefix("/") for label in labels}


def files_that_end_in(*suffixes: str) -> list[str]:
    found = []
    pending = [REPOSITORY]
    while pending:
        here = pending.pop()
        entries = [entry for entry in here.iterdir() if not entry.is_symlink()]
        excluded = LEFT_OUT(str(here), [entry.name for entry in entries])
        pending += [entry for entry in entries if entry.is_dir() and entry.name not in excluded]
        found += [entry.relative_to(REPOSITORY).as_posix() for entry in entries if entry.suffix in suffixes]
    return found
