"""No property of the machine changes the output of the installed command, as it changes no output of an action."""

from __future__ import annotations

import hashlib
import os
import pty
import subprocess
import sys

import pytest
from rules_bento.base.programs import which

from tests.helpers.projects import write_project
from tests.helpers.store_support import command

SERVICE = (
    "import bentoml\n\n@bentoml.service\nclass Hello:\n    @bentoml.api\n    def hi(self) -> str:\n        return 'ü'\n"
)
BENTOFILE = """\
service: "service:Hello"
labels: {owner: Jürgen}
include: ["*.py", "data/*"]
python:
  packages: ["bentoml==1.4.39"]
  lock_packages: false
"""
TIME = "2026-01-01T00:00:00+00:00"
LOCALES = {"de_DE": "ISO-8859-1", "ja_JP": "EUC-JP", "zh_CN": "GB18030"}
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
CONVERSION = "import sys; sys.exit(sys.getfilesystemencoding() == 'utf-8')"


@pytest.fixture(scope="module")
def locales(tmp_path_factory):
    """A directory with locales of other encodings than UTF-8, which few systems have."""
    directory = tmp_path_factory.mktemp("locales")
    if localedef := which("localedef"):
        for name, encoding in LOCALES.items():
            subprocess.run([localedef, "-i", name, "-f", encoding, directory / name], check=False, capture_output=True)
    return directory


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    """What a process of the command needs."""
    kept = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return kept | {"HOME": str(tmp_path_factory.mktemp("home")), "BENTO_NO_LOCK": "1", "LC_ALL": "C.UTF-8"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    files = {"bentofile.yaml": BENTOFILE, "data/ü.txt": "x", "data/日本.txt": "x"}
    return write_project(tmp_path_factory.mktemp("project"), {"files": files}, SERVICE)


@pytest.fixture(scope="module")
def expected(project, variables):
    return archive(project, variables, command())


def set_locale(locales, variables, locale):
    """Return the variables with a locale, or skip the test if Python doesn't use the locale's encoding."""
    changed = variables | ({"LC_ALL": locale, "LOCPATH": str(locales)} if isinstance(locale, str) else locale)
    if subprocess.run([sys.executable, "-c", CONVERSION], env=changed, check=False).returncode:
        pytest.skip("this system can't make the locale: it has no localedef with sources of locales")
    return changed


def archive(project, variables, words):
    """The digest of an archive that the command writes."""
    out = project.parent / "out.bento"
    words = [*words, "build", project, "--creation-time", TIME, "--archive", out]
    subprocess.run(words, env=variables, check=True, capture_output=True)
    return hashlib.sha256(out.read_bytes()).hexdigest()


@pytest.mark.parametrize("locale", [*LOCALES, ASCII], ids=[*LOCALES, "C"])
def test_names_of_files_are_utf_8_in_each_locale(locale, locales, variables, project, expected):
    changed = set_locale(locales, variables, locale)
    words = [sys.executable, "-X", "utf8=0", "-m", "bento_cli"] if locale is ASCII else command()
    assert archive(project, changed, words) == expected


def test_arguments_streams_and_descriptors_stay(locales, variables, project):
    """Arguments that are neither UTF-8 nor in the encoding, input in a pipe, and a closed standard stream."""
    changed = set_locale(locales, variables, ASCII)
    words = [*map(os.fsencode, command("import")), b"-"]
    done = subprocess.run(words, input=b"no archive", env=changed, capture_output=True, check=False)
    assert done.stderr.startswith(b"bento: <stdin>: ")
    words = [*map(os.fsencode, command("get")), b"a\xfc:\xc3\xbc", b"--color=always"]
    expected = subprocess.run(words, env=variables, capture_output=True, check=False)
    done = subprocess.run(words, env=changed, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (expected.returncode, expected.stdout, expected.stderr)
    words = [*map(os.fsencode, command("build", project)), b"--label", b"owner=J\xfcrgen"]
    done = subprocess.run(words, env=changed, capture_output=True, check=False)
    assert done.stderr == b"bento: --label: value number 1 isn't UTF-8. Use a terminal with UTF-8.\n"
    words[-2:] = [b"--env", b"OWNER=J\xfcrgen"]
    done = subprocess.run(words, env=changed, capture_output=True, check=False)
    assert b"--env: the value of OWNER contains a line break or NUL, or isn't UTF-8." in done.stderr
    script = 'exec "$@" <&- >&-'
    done = subprocess.run(["sh", "-c", script, "sh", *command("list")], env=changed, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_messages_have_the_encoding_of_the_terminal(locales, variables):
    changed = set_locale(locales, variables, "de_DE") | {"TERM": "dumb"}
    ours, theirs = pty.openpty()
    subprocess.run(command("build", "nö/日"), env=changed, stderr=theirs, stdout=subprocess.DEVNULL, check=False)
    os.close(theirs)
    assert os.read(ours, 1 << 16).startswith(b"bento: n\xf6/\\u65e5: no such directory")
    os.close(ours)
    done = subprocess.run(command("build", "nö/日"), env=changed, capture_output=True, check=False)
    assert done.stderr.decode().startswith("bento: nö/日: no such directory")


@pytest.mark.parametrize("module", ["bento_cli.library", "bento_cli.projects.from_directory"])
def test_the_library_refuses_another_encoding(module, locales, variables):
    """A library can't start the program again that imports it. It must not write wrong names, either."""
    changed = set_locale(locales, variables, ASCII)
    done = subprocess.run(
        [sys.executable, "-c", f"import {module}"], env=changed, capture_output=True, text=True, check=False
    )
    assert "BentoError: Python's encoding of file names is " in done.stderr
    assert "Set PYTHONUTF8=1, or a UTF-8 locale" in done.stderr
    script = "import sys; from bento_cli.cli import main; sys.exit(main(['list']))"
    done = subprocess.run([sys.executable, "-c", script], env=changed, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.partition(" is ")[0]) == (1, "bento: Python's encoding of file names")
