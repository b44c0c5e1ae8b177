"""A lock is stale for us if `uv lock --check` reports that it is: edits of each recorded field."""

import os
import subprocess
import sys

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.toml import read_toml
from rules_bento.bentos.packages import uv_lock_staleness

from tests.packages import lock_edits
from tests.packages.metadata_index import Index, serve

UV = os.environ["RULES_BENTO_UV"]
START, STEP = (int(number) for number in os.environ.get("LOCK_EDITS", "3:12").split(":"))  # 0:1 runs all


def write(directory, files):
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)


def uv(directory, *words):
    command = [UV, "lock", "-q", "--python", sys.executable, *words]
    return subprocess.run(command, cwd=directory, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    """The lock of the workspace without an edit."""
    with pytest.MonkeyPatch.context() as patch, serve(Index(lock_edits.offered())) as address:
        patch.setenv("UV_DEFAULT_INDEX", address)
        patch.setenv("UV_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        directory = tmp_path_factory.mktemp("workspace")
        write(directory, lock_edits.FILES)
        done = uv(directory)
        assert done.returncode == 0, done.stderr
        yield (directory / "uv.lock").read_text()


@pytest.mark.parametrize(
    ("name", "files"), [pytest.param(*each, id=each[0]) for each in [*lock_edits.edits()][START::STEP]]
)
def test_an_edit_has_the_verdict_of_uv(name, files, locked, tmp_path):
    write(tmp_path, {**files, "uv.lock": locked})
    done = uv(tmp_path, "--check")
    try:
        uv_lock_staleness.check(tmp_path, read_toml(locked, "uv.lock"))
    except BentoError as error:
        assert done.returncode, error
        assert "Run `uv lock`" in str(error) or "Correct the" in str(error)
    else:
        assert done.returncode == 0, done.stderr


def test_a_difference_is_named(locked, tmp_path):
    root = lock_edits.ROOT.replace("alpha>=1.0", "alpha>=2")
    write(tmp_path, {**lock_edits.FILES, "pyproject.toml": root, "uv.lock": locked})
    with pytest.raises(BentoError) as caught:
        uv_lock_staleness.check(tmp_path, read_toml(locked, "uv.lock"))
    assert str(caught.value) == (
        f"{tmp_path}/uv.lock: web: the lock has alpha!=1.5,>=1, but pyproject.toml has alpha!=1.5,>=2. Run `uv lock` in "
        "the project."
    )


def test_a_dynamic_field_has_a_note(locked, tmp_path):
    root = lock_edits.ROOT.replace("dependencies = [", 'dynamic = ["dependencies"]\nother = [', 1)
    write(tmp_path, {**lock_edits.FILES, "pyproject.toml": root, "uv.lock": locked})
    [note] = uv_lock_staleness.check(tmp_path, read_toml(locked, "uv.lock"))
    assert "can't be compared with the dynamic dependencies in" in note


OWN_EXTRAS = """\
[project]
name = "web"
dynamic = ["version"]
requires-python = ">=3.11"
dependencies = [
    "web[small]",
    "delta; python_version < '<3.10'",
    "gamma; python_version < '<3.10' and sys_platform == 'linux'",
]
[project.optional-dependencies]
all = ["web[big]; python_version < '3.13'"]
big = ["web[small]"]
small = ["alpha>=1"]
"""
FLAT = """\
    { name = "alpha", marker = "extra == 'big'", specifier = ">=1" },
    { name = "alpha", marker = "extra == 'small'", specifier = ">=1" },
    { name = "alpha", marker = "python_full_version < '3.13' and extra == 'all'", specifier = ">=1" },
    { name = "alpha", specifier = ">=1" },
"""


def test_a_lock_of_a_dynamic_version_can_replace_its_own_extras(locked, tmp_path):
    write(tmp_path, {"pyproject.toml": OWN_EXTRAS.replace('dynamic = ["version"]', 'version = "1.0"')})
    done = uv(tmp_path)
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "uv.lock").read_text().replace('name = "web"\nversion = "1.0"\n', 'name = "web"\n')
    write(tmp_path, {"pyproject.toml": OWN_EXTRAS})
    head, _, table = written.partition("requires-dist = [\n")
    lines, end = table.split("]\nprovides-extras")
    others = [line for line in lines.splitlines(keepends=True) if '"web"' not in line and '"alpha"' not in line]
    for text in (written, flat := "".join([head, "requires-dist = [\n", FLAT, *others, "]\nprovides-extras", end])):
        (tmp_path / "uv.lock").write_text(text)
        assert uv(tmp_path, "--check").returncode == 0
        uv_lock_staleness.check(tmp_path, read_toml(text, "uv.lock"))
    write(tmp_path, {"pyproject.toml": OWN_EXTRAS.replace("alpha>=1", "alpha>=1.5")})
    assert uv(tmp_path, "--check").returncode
    with pytest.raises(BentoError, match="alpha"):
        uv_lock_staleness.check(tmp_path, read_toml(flat, "uv.lock"))


def test_sources_of_the_root_are_for_members_below_no_other_project(locked, tmp_path):
    text = '[project]\nname = "{}"\nversion = "1.0"\nrequires-python = ">=3.11"\ndependencies = {}\n'
    files = {f"{path}/pyproject.toml": text.format(name, ["one"]) for path, name in (("two", "two"), ("one/in", "in"))}
    workspace = '[tool.uv.workspace]\nmembers = ["*", "one/in"]\n[tool.uv.sources]\none = { workspace = true }\n'
    write(tmp_path, {**files, "one/pyproject.toml": text.format("one", []), "pyproject.toml": workspace})
    done = uv(tmp_path)
    assert done.returncode == 0, done.stderr
    lock = (tmp_path / "uv.lock").read_text()
    assert lock.count('requires-dist = [{ name = "one" }]') == lock.count('[{ name = "one", editable = "one" }]') == 1
    uv_lock_staleness.check(tmp_path, read_toml(lock, "uv.lock"))
