"""Every verb and every command, whatever stands where they expect a file: a message, within bounds, and nothing else."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bento_cli import cli
from bento_cli.cli.groups import COMMANDS
from rules_bento.actions import subcommands
from rules_bento.base import exit_handling
from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import Request

from tests.actions.helper import FLAGS, SERVICE, Actions, packages
from tests.hostile import programs
from tests.hostile.limited import run

_PACKAGES = [word for root in packages("blake3", "click", "tomli", "yaml") for word in ("--packages", str(root))]
HELPER = (sys.executable, *FLAGS, str(Path("py/main.py").absolute()), *_PACKAGES)
BENTO = (sys.executable, "-m", "bento_cli")
FULL = "the output, the cache (XDG_CACHE_HOME), or the temporary directory (TMPDIR). Free disk space, and run the command again.\n"


def test_commands_reject_invalid_input():
    cases = list(programs.of_commands())
    names = {" ".join(case["words"]) for case in cases}
    assert all(name in names for name, _ in COMMANDS.walk())
    outcomes = run(programs.PROGRAM, [json.dumps(case).encode() for case in cases])
    ends = list(zip(cases, outcomes, strict=True))
    assert len(ends) > 500
    assert not [(case, end) for case, end in ends if not end.is_fine or programs.UNEXPECTED in end.message]


def test_a_shared_module_is_not_a_subcommand(capsys):
    assert "snapshot" in subcommands.every()
    for name in ("remote_cache", "subcommands", "watch", "x.y", ""):
        assert name not in subcommands.every()
        assert subcommands.run([name]) == 2
        assert capsys.readouterr().err.startswith("usage: main.py SUBCOMMAND")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (BentoError("no"), 1, "//:x: no\n"),
        (FileNotFoundError(2, "No such file or directory", "x"), 1, "//:x: x: No such file or directory.\n"),
        (OSError(18, "Invalid cross-device link", "x", None, "y"), 1, "//:x: x -> y: Invalid cross-device link.\n"),
        (OSError(28, "No space left on device", "x", None, "y"), 1, "//:x: No space left on device: y. Free disk space"),
        (OSError(28, "No space left on device"), 1, "//:x: No space left on device: the output, the cache"),
        (KeyError("x"), 1, "//:x: internal error: KeyError: 'x' (actions/subcommands.py:"),
        (MemoryError(), 1, "//:x: internal error: MemoryError: "),
        (RecursionError("deep"), 1, "//:x: internal error: RecursionError: deep"),
        (KeyboardInterrupt(), 130, "//:x: interrupted\n"),
    ],
)  # fmt: skip
def test_a_subcommand_ends_with_a_message(error, status, message, monkeypatch, capsys):
    def fails(request: "Request") -> None:
        raise error

    monkeypatch.setattr(subcommands, "find", lambda _: fails)
    assert subcommands.run(["x", "--target", "//:x"]) == status
    assert capsys.readouterr().err.startswith(message)
    monkeypatch.setenv("BENTO_TRACEBACK", "1")
    if "internal error" in message:
        with pytest.raises(type(error)):
            subcommands.run(["x", "--target", "//:x"])


@pytest.mark.parametrize(
    ("number", "path", "hint"),
    [
        (30, "/c/rules_bento/native", True),
        (13, "/c", True),
        (2, "/c/x", False),
        (30, "/cache", False),
        (30, None, False),
    ],
)
def test_the_cache_can_be_elsewhere(number, path, hint, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    message = exit_handling.os_error_message(OSError(number, "reason", path))
    assert message == f"{path or 'the system'}: reason." + " To use another cache, set XDG_CACHE_HOME." * hint


@pytest.fixture
def directory(tmp_path):
    """A folder with an archive of a Bento, which is of some size."""
    from tests.helpers.store_support import bento_files, write_archive

    write_archive(tmp_path / "x.bento", bento_files("hi:v1", src__large=os.urandom(1 << 20)))
    return tmp_path


def said(words, directory, **streams):
    """How a program ends, and what it says."""
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "HOME": str(directory)}
    streams = {"stderr": subprocess.PIPE, **streams}
    done = subprocess.run(words, env=environment, check=False, timeout=600, **streams)
    return done.returncode, (done.stderr or b"").decode()


@pytest.mark.parametrize(
    "words",
    [[*BENTO, "--help"], [*BENTO, "completion", "bash"], [*HELPER, "bento_cli.programs.bento_command", "--", "list"]],
)
def test_a_full_disk_is_reported_once(words, directory):
    """Where what is printed goes, and Python at its end would say it again."""
    home = [] if "--help" in words else ["--home", str(directory)]
    with Path("/dev/full").open("wb") as full:
        status, message = said([*words, *home], directory, stdout=full)
    assert status == 1
    assert "No space left on device" in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize(
    "words", [[*BENTO, "import", "x.bento"], [*HELPER, "bento_cli.programs.bento_command", "--", "import", "x.bento"]]
)
def test_a_stream_that_is_closed_is_no_error_and_gets_no_file(words, closed, directory):
    shut = "import os, sys; [os.close(int(fd)) for fd in sys.argv[1]]; os.execv(sys.argv[2], sys.argv[2:])"
    words = [*words[:-1], str(directory / "x.bento"), "--home", str(directory / "home")]
    status, message = said([sys.executable, "-c", shut, "".join(map(str, closed)), *words], directory)
    assert (status, message.replace("\n", "")) == (0, "")
    assert (directory / "home/bentos/hi/v1/src/large").stat().st_size == 1 << 20


@pytest.mark.parametrize(
    "words",
    [
        ["import", "x.bento"],
        ["export", "hi:v1", "out.bento"],
        ["push", "hi:v1", "oci-archive:out.tar"],
        ["push", "hi:v1", "oci:out"],
        ["models", "import", "x.bento"],
    ],
)
def test_a_full_disk_leaves_nothing(words, directory, monkeypatch):
    """A bound of 300 kB for each file stands for it."""
    import resource

    monkeypatch.chdir(directory)
    if "hi:v1" in words:
        assert cli.main(["import", "x.bento", "--home", "home"]) == 0
    before = {path for path in directory.rglob("*") if ".rules_bento" not in path.parts}
    status, message = said(
        [*BENTO, *words, "--home", "home"],
        directory,
        cwd=directory,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
    )
    assert (status, message.count("\n")) == (1, 1), message
    assert "File too large" in message or "models import" in " ".join(words)
    after = {path for path in directory.rglob("*") if ".rules_bento" not in path.parts}
    assert {path for path in after - before if path.is_file()} == set()


@pytest.mark.parametrize("verb", ["snapshot", "model"])
def test_a_subcommand_on_a_full_disk_says_so(verb, tmp_path, full_disk):
    actions = Actions(tmp_path)
    name = actions.write("svc/large", os.urandom(1 << 16))
    with full_disk(1 << 12):
        done = getattr(actions, verb)(srcs=[name, actions.write("svc/service.py", SERVICE)])
    assert done.code == 1
    assert done.errors == f"//svc:{'bento' if verb == 'snapshot' else 'model'}: File too large: {FULL}"


def test_a_subcommand_that_is_interrupted_says_so(directory):
    reading, writing = os.pipe()
    words = [*HELPER, "bento_cli.programs.bento_command", "--", "import", "-", "--home", str(directory / "home")]
    with subprocess.Popen(words, stdin=reading, stderr=subprocess.PIPE, env={"HOME": str(directory)}) as child:
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write((directory / "x.bento").read_bytes()[: 1 << 19])
            pipe.flush()  # more than a pipe holds: it is being read
            child.send_signal(signal.SIGINT)
            assert child.wait(60) == 130
        assert child.stderr
        assert child.stderr.read().startswith(b"bento: interrupted. Complete Bentos remain in the store. ")
