"""Several subcommands of one action give what each gives in an action of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.actions.helper import FLAGS, HELPER, LABEL, SERVICE, TIME, Actions, described, packages

NAMES = {
    "snapshot": ("manifest", "part", "service-info", "unused"),
    "package": ("bento-yaml", "digest", "imports", "manifest", "part", "tag"),
}


@pytest.fixture
def actions(tmp_path: Path) -> Actions:
    """An execution root with a service, a table that is dropped, and a README that is read and dropped."""
    made = Actions(tmp_path)
    for path, text in (("service.py", SERVICE), ("table.csv", "1\n"), ("notes.md", "# Notes\n")):
        made.write(f"svc/{path}", text)
    return made


def words(verb: str, directory: str) -> list[str]:
    """The arguments of a step that writes to a folder."""
    sources = [described("--source", f"svc/{path}") for path in ("service.py", "table.csv", "notes.md")]
    patterns = ["--build-ctx", "svc", "--exclude", "*.csv", "--exclude", "*.md"]
    settings = ["--creation-time", TIME, "--bentoml-version", "1.4.39", "--python-version", "3.11"]
    read = ["--sources", f"{directory}/snapshot.manifest", "--service-info", f"{directory}/snapshot.service-info"]
    given = {
        "snapshot": ["--service", "service:Service", "--options", '{"description": "file:notes.md"}', *patterns] + [word for source in sources for word in source],
        "package": [
            "--options", '{"service": "service:Service", "description": "file:notes.md"}', *settings, *read,
        ],
    }  # fmt: skip
    outputs = [word for name in NAMES[verb] for word in (f"--{name}", f"{directory}/{verb}.{name}")]
    return ["--target", LABEL, *given[verb], *outputs]


def run(actions: Actions, *command: str) -> subprocess.CompletedProcess[str]:
    """The helper, as actions run it."""
    given = [
        word
        for root in packages("blake3", "packaging", "pathspec", "tomli", "yaml", "zlib_ng")
        for word in ("--packages", str(root))
    ]
    whole = [sys.executable, *FLAGS, str(HELPER), *given, *command]
    return subprocess.run(whole, cwd=actions.root, env={}, capture_output=True, text=True, check=False)


def params(actions: Actions, name: str, lines: list[str]) -> str:
    """A file of arguments."""
    return "@" + actions.write(f"bazel-out/{name}.params", "".join(f"{line}\n" for line in lines))


def made(actions: Actions, directory: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (actions.root / directory).iterdir()}


def test_steps_make_what_actions_of_their_own_make(actions: Actions) -> None:
    """Whether their arguments are in a file each, as Bazel writes them, or in one row, as it hands them to a worker."""
    directories = ["bazel-out/apart", "bazel-out/files", "bazel-out/row"]
    for directory in directories:
        (actions.root / directory).mkdir()
    for verb in NAMES:
        done = run(actions, verb, params(actions, verb, words(verb, directories[0])))
        assert (done.returncode, done.stderr) == (0, "")
    first = params(actions, "first", [*words("snapshot", directories[1]), "--then", "package"])
    assert run(actions, "snapshot", first, params(actions, "second", words("package", directories[1]))).returncode == 0
    row = [*words("snapshot", directories[2]), "--then", "package", *words("package", directories[2])]
    assert run(actions, "snapshot", *row).returncode == 0
    apart, files, in_a_row = (made(actions, directory) for directory in directories)
    assert len(apart) == sum(map(len, NAMES.values()))
    assert apart == files == in_a_row


def test_what_a_later_step_reads_is_not_unused(actions: Actions) -> None:
    """Patterns drop it, and its text is the README of the Bento all the same."""
    (actions.root / "bazel-out/one").mkdir()
    assert run(actions, "snapshot", *words("snapshot", "bazel-out/one")).returncode == 0
    assert made(actions, "bazel-out/one")["snapshot.unused"] == b"svc/table.csv\n"


@pytest.mark.parametrize(("first", "status"), [(["--exclude", "*"], 1), ([], 2)], ids=["refused", "no-verb"])
def test_the_first_step_that_fails_is_the_last(actions: Actions, first: list[str], status: int) -> None:
    (actions.root / "bazel-out/one").mkdir()
    following = ["package"] if first else ["absent"]
    row = [*words("snapshot", "bazel-out/one"), *first, "--then", *following, *words("package", "bazel-out/one")]
    done = run(actions, "snapshot", *row)
    assert done.returncode == status
    assert ("excludes the file" if first else "usage: main.py SUBCOMMAND") in done.stderr
    assert not [name for name in made(actions, "bazel-out/one") if name.startswith("package.")]
