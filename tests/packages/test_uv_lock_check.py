"""The verdict on a lock is that of `uv lock --check` with a network: edits of each recorded field."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bento_cli.projects import project_reach, uv_lock_check
from rules_bento.base import landlock
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.toml import read_toml

from tests.packages import lock_edits
from tests.packages.metadata_index import Index, serve

UV = os.environ["RULES_BENTO_UV"]


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


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setattr("rules_bento.bentos.packages.uv.find_uv", lambda: UV)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("kept")))


def check(directory):
    return uv_lock_check.check(directory, read_toml((directory / "uv.lock").read_text(), "uv.lock"))


@pytest.mark.parametrize("files", [pytest.param(files, id=name) for name, files in lock_edits.edits()])
def test_an_edit_has_the_verdict_of_uv(files, locked, tmp_path):
    write(tmp_path, {**files, "uv.lock": locked})
    done = uv(tmp_path, "--check")
    try:
        assert check(tmp_path) == []
    except BentoError as error:
        assert done.returncode, error
    else:
        assert done.returncode == 0, done.stderr


def test_the_cache_keeps_the_verdict_of_a_reader_that_cannot_write_to_it(locked, tmp_path, monkeypatch):
    write(tmp_path, {**lock_edits.FILES, "uv.lock": locked})
    assert project_reach.read([tmp_path], check, tmp_path) == []
    assert [*Path(os.environ["XDG_CACHE_HOME"]).glob("rules_bento/native/locks/*")]
    monkeypatch.setattr(uv_lock_check, "_ask", lambda *_: pytest.fail("uv starts again"))
    assert project_reach.read([tmp_path], check, tmp_path) == []


def test_a_changed_requirement_is_named(locked, tmp_path):
    root = lock_edits.ROOT.replace("alpha>=1.0", "alpha>=2")
    write(tmp_path, {**lock_edits.FILES, "pyproject.toml": root, "uv.lock": locked})
    with pytest.raises(BentoError) as caught:
        check(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/uv.lock: the lock isn't current: mismatched requirements for: `web==1.0` (alpha). Run `uv lock` in the "
        "project."
    )


ODD = """\
[project]
name = "web"
version = "1"
requires-python = ">=3.11"
dependencies = ["alpha", "libx @ file:///${PROJECT_ROOT}/libs/x"]
[project.optional-dependencies]
more = ["gamma"]
[dependency-groups]
old = ["delta<2"]
new = ["delta>=2"]
all = [{ include-group = "old" }, "alpha"]
[tool.uv]
conflicts = [[{ group = "old" }, { group = "new" }]]
dev-dependencies = []
"""


def test_a_lock_that_uv_accepts_has_a_way_out(locked, tmp_path):
    """A lock of uv before 0.6, an address with a variable, a conflict that uv infers, and a policy without a package."""
    write(tmp_path, {"pyproject.toml": ODD, "libs/x/pyproject.toml": lock_edits.LIBX})
    assert uv(tmp_path).returncode == 0
    old = re.sub("(?m)^(revision|provides-extras) = .*\n", "", (tmp_path / "uv.lock").read_text())
    write(tmp_path, {"uv.lock": old, "pyproject.toml": f'{ODD}override-dependencies = ["absent>=2"]\n'})
    assert uv(tmp_path, "--check").returncode == 0
    assert check(tmp_path) == []
    write(tmp_path, {"pyproject.toml": f'{ODD}exclude-dependencies = ["alpha"]\n'})
    with pytest.raises(BentoError, match="mismatched excludes"):
        check(tmp_path)


@pytest.mark.parametrize(
    "path",
    ["pyproject.toml", "uv.toml", "members/two/pyproject.toml", "members/new/pyproject.toml", "libs/x/pyproject.toml"],
)
def test_uv_is_asked_again_after_a_change_of_what_it_read(path, locked, tmp_path, monkeypatch):
    write(tmp_path, {**lock_edits.FILES, "uv.lock": locked})
    assert check(tmp_path) == []
    with monkeypatch.context() as patch:
        patch.setattr(uv_lock_check.uv, "start", None)
        assert check(tmp_path) == []
        patch.setenv("UV_PRERELEASE", "allow")
        with pytest.raises(TypeError):
            check(tmp_path)
    write(tmp_path, {path: lock_edits.FILES.get(path, "") + "\n"})
    monkeypatch.setattr(uv_lock_check.uv, "start", None)
    with pytest.raises(TypeError):
        check(tmp_path)


def test_indexes_of_the_user_can_be_those_of_a_lock(locked, tmp_path, monkeypatch):
    root = f'{lock_edits.ROOT}\n[[tool.uv.index]]\nurl = "https://example.com/simple"\n'
    write(tmp_path, {**lock_edits.FILES, "pyproject.toml": root, "uv.lock": locked})
    address = os.environ["UV_DEFAULT_INDEX"].replace("://", "://me:word@")
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    with pytest.raises(BentoError, match="missing remote index"):
        check(tmp_path)
    write(tmp_path, {"own/uv/uv.toml": f'[[index]]\nname = "mine"\nurl = "{address}"\n'})
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    assert check(tmp_path) == []
    assert "word" not in str(uv_lock_check._user_settings())


DYNAMIC = """\
[project]
name = "web"
version = "1"
requires-python = ">=3.11"
dependencies = ["alpha", "web[big]"]
[project.optional-dependencies]
all = ["web[big]"]
big = ["delta"]
[build-system]
requires = ["hatchling"]
"""


def test_a_requirement_of_a_project_with_a_dynamic_version(locked, tmp_path):
    write(tmp_path, {"pyproject.toml": DYNAMIC})
    assert uv(tmp_path).returncode == 0
    dynamic = DYNAMIC.replace('version = "1"', 'dynamic = ["version"]')
    lock = (tmp_path / "uv.lock").read_text().replace('name = "web"\nversion = "1"\n', 'name = "web"\n')
    write(tmp_path, {"pyproject.toml": dynamic, "uv.lock": lock})
    assert check(tmp_path) == []
    expanded = lock.replace('{ name = "web", extras = ["big"], marker', '{ name = "delta", marker')
    assert expanded != lock
    write(tmp_path, {"uv.lock": expanded})
    [note] = check(tmp_path)
    assert "without running code" in note
    for field, old, new in (("requires-dist", '"alpha"', '"gamma"'), ("provides-extra", "all =", "every =")):
        write(tmp_path, {"pyproject.toml": dynamic.replace(old, new)})
        with pytest.raises(BentoError, match=f"mismatched {field} for: `web`"):
            check(tmp_path)


BACK_END = "open('{canary}', 'w')\n"
IN_TREE = '[build-system]\nrequires = []\nbuild-backend = "back"\nbackend-path = ["."]\n'


@pytest.mark.parametrize("is_isolated", [True, False])
def test_no_code_of_the_project_runs(is_isolated, locked, tmp_path, monkeypatch):
    """Neither its build back end, which uv runs for dynamic fields in spite of `--no-build`, nor the Python of `.venv`."""
    if not is_isolated:
        monkeypatch.setattr(landlock, "problem", lambda: "off")
    project, canary = tmp_path / "project", tmp_path / "canary"
    root = '[project]\nname = "web"\nversion = "1"\nrequires-python = ">=3.11"\n{}{}'
    python = f"#!/bin/sh\ntouch {canary}\nexec {sys.executable} $*\n"
    write(project, {"pyproject.toml": root.format("", IN_TREE)})
    assert uv(project).returncode == 0
    write(
        project,
        {"back.py": BACK_END.format(canary=canary), ".venv/bin/python": python, ".venv/pyvenv.cfg": "home = /\n"},
    )
    (project / ".venv/bin/python").chmod(0o755)
    assert check(project) == []
    write(project, {"pyproject.toml": root.format('dynamic = ["dependencies"]\n', IN_TREE)})
    [note] = check(project)
    assert (
        "/uv.lock: uv can't check the lock without running code (Failed to generate package metadata for `web==1 @"
        in note
    )
    assert not canary.exists()
    uv(project)
    assert canary.exists()


PROBE = """\
#!/bin/sh
export PATH=/usr/bin:/bin
touch {project}/written
set -- $(cat {outside} 2>&1; ls {project}/..; ls $HOME; env | cut -d= -f1 | sort)
echo "error: $*" >&2
exit 2
"""


@pytest.mark.skipif(bool(landlock.problem()), reason="Landlock")
def test_uv_sees_only_the_project(locked, tmp_path, monkeypatch):
    project, outside, program = tmp_path / "here/project", tmp_path / "here/secret", tmp_path / "uv"
    write(project, {**lock_edits.FILES, "uv.lock": locked, "../secret": "word", "../../uv": ""})
    program.write_text(PROBE.format(project=project, outside=outside))
    program.chmod(0o755)
    monkeypatch.setattr(uv_lock_check.uv, "require_uv", lambda _: str(program))
    monkeypatch.setenv("SECRET", "word")
    with pytest.raises(BentoError) as caught:
        check(project)
    variables = "HOME PATH PWD RUST_LOG TMPDIR UV_CACHE_DIR UV_NATIVE_TLS UV_PROJECT_ENVIRONMENT UV_SYSTEM_CERTS XDG_CONFIG_HOME"
    assert f"cat: {outside}: Permission denied {variables}" in str(caught.value)
    assert not (project / "written").exists()
