"""The verdict on a lock is that of `uv lock --check` with a network: edits of each recorded field."""

import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bento_cli.projects import project_reach, uv_lock_check
from bento_cli.projects.uv_project import UvProject
from rules_bento.base import landlock
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages.lock_format import read_uv_lock

from tests.helpers.project_wheels import write
from tests.packages import lock_edits
from tests.packages.metadata_index import Index, serve

UV = os.environ["RULES_BENTO_UV"]


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
    lock = read_uv_lock((directory / "uv.lock").read_text(), "uv.lock")
    return uv_lock_check.check(UvProject(directory, directory, {}, True, {}, lock))


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
    assert project_reach.confined([tmp_path], check, tmp_path) == []
    assert [*Path(os.environ["XDG_CACHE_HOME"]).glob("rules_bento/native/locks/*")]
    monkeypatch.setattr(uv_lock_check, "_ask", lambda *_: pytest.fail("uv starts again"))
    assert project_reach.confined([tmp_path], check, tmp_path) == []


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
    write(tmp_path, {"pyproject.toml": dynamic.replace('"alpha"', '"gamma"')})
    [note] = check(tmp_path)  # the index has no hatchling
    assert "uv can't check the lock: Failed to generate package metadata for `web" in note


BACK_END = """\
import os
try:
    open({canary!r}, "w").close()
except OSError:
    pass
def prepare_metadata_for_build_wheel(directory, settings=None):
    with open("fields.txt") as file:
        fields = file.read()
    os.mkdir(f"{{directory}}/web-1.dist-info")
    with open(f"{{directory}}/web-1.dist-info/METADATA", "w") as file:
        file.write("Metadata-Version: 2.1\\nName: {name}\\n" + fields)
    return "web-1.dist-info"
prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel
"""
IN_TREE = '[build-system]\nrequires = []\nbuild-backend = "back"\nbackend-path = ["."]\n'
FIELDS = "Version: 1\nRequires-Python: >=3.11\nRequires-Dist: alpha\nProvides-Extra: big\nRequires-Dist: delta; extra == 'big'\n"
DYNAMIC_FIELDS = 'dynamic = ["version", "dependencies", "optional-dependencies"]\n'
OF_FIELDS = {
    "nothing": ("", ""),
    "version": ("Version: 1", "Version: 2"),
    "requirement": ("Dist: alpha", "Dist: alpha>=1"),
    "other": ("Dist: alpha", "Dist: gamma"),
    "extra": ("big", "large"),
    "more": ("Requires-Dist: alpha", "Requires-Dist: alpha\nRequires-Dist: gamma"),
    "less": ("Requires-Dist: alpha\n", ""),
    "order": ("Requires-Dist: alpha\nProvides-Extra: big\n", "Provides-Extra: big\nRequires-Dist: alpha\n"),
    "python": (">=3.11", ">=3.10"),
    "failure": ("Version: 1\n", ""),
}


@pytest.fixture
def dynamic(locked, tmp_path):
    """A function that writes and locks a project that is dynamic, or has a dynamic path dependency."""

    def make(kind):
        project, canary = tmp_path / "project", tmp_path / "canary"
        table = '[project]\nname = "web"\nrequires-python = ">=3.11"\n'
        place, files = project, {"pyproject.toml": table + DYNAMIC_FIELDS + IN_TREE}
        if kind == "path":
            place = project / "libs/own"
            own = '[project]\nname = "own"\nrequires-python = ">=3.11"\n' + DYNAMIC_FIELDS + IN_TREE
            sources = '[tool.uv.sources]\nown = { path = "libs/own" }\n'
            files = {"pyproject.toml": f'{table}version = "1"\ndependencies = ["own"]\n{sources}'}
            files["libs/own/pyproject.toml"] = own
        write(project, files)
        back_end = BACK_END.format(canary=str(canary), name="own" if kind == "path" else "web")
        write(place, {"back.py": back_end, "fields.txt": FIELDS})
        assert uv(project).returncode == 0
        shutil.rmtree(place / "__pycache__", ignore_errors=True)  # of this run
        canary.unlink()
        return project, place, canary

    return make


@pytest.mark.parametrize(
    ("kind", "name"), [*(("project", each) for each in OF_FIELDS), ("path", "nothing"), ("path", "other")]
)
def test_metadata_of_a_back_end_have_the_verdict_of_uv(dynamic, kind, name, monkeypatch, tmp_path):
    project, place, canary = dynamic(kind)
    fields = FIELDS.replace(*OF_FIELDS[name]) if any(OF_FIELDS[name]) else FIELDS
    write(place, {"fields.txt": fields})
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "new"))  # in which no metadata are cached
    try:
        found = project_reach.confined([project], check, project)
    except BentoError as error:
        found = str(error)
    assert not canary.exists()
    assert {path.name for path in place.iterdir()} >= {"back.py", "fields.txt", "pyproject.toml"}
    assert not [*place.glob("__pycache__")]
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "other"))
    done = uv(project, "--check")
    assert canary.exists()
    assert (found == []) == (done.returncode == 0), (found, done.stderr)


# More edits, by hand: RULES_BENTO_LOCK_EDITS=400 pytest -k random
EDITS = range(int(os.environ.get("RULES_BENTO_LOCK_EDITS", 8)))
NAMES = ("alpha", "beta", "gamma", "delta", "zeta", "libx", "two", "web")


def edit(text, numbers):
    """Delete, repeat, or exchange lines, or change a digit, a name, or an operator."""
    for _ in range(numbers.randint(1, 3)):
        lines = text.splitlines(keepends=True)
        at, other = numbers.randrange(len(lines)), numbers.randrange(len(lines))
        kind = numbers.choice(("delete", "repeat", "exchange", "digit", "name", "operator", "name", "digit"))
        if kind == "delete":
            del lines[at]
        elif kind == "repeat":
            lines.insert(at, lines[at])
        elif kind == "exchange":
            lines[at], lines[other] = lines[other], lines[at]
        pattern = {"digit": r"[0-9]", "name": "|".join(NAMES), "operator": ">=|==|<|!="}.get(kind)
        text = "".join(lines)
        if pattern and (found := [*re.finditer(pattern, text)]):
            match = numbers.choice(found)
            new = numbers.choice({"digit": "0123456789", "name": NAMES, "operator": (">=", "==", "<", "!=")}[kind])
            text = text[: match.start()] + new + text[match.end() :]
    return text


@pytest.mark.parametrize("seed", EDITS)
def test_random_edits_have_the_verdict_of_uv(dynamic, locked, seed, tmp_path):
    """Of the lock, pyproject.toml, or the metadata of a back end; each fourth project is dynamic."""
    numbers = random.Random(seed)
    if seed % 4:
        project, paths = tmp_path / "static", ("uv.lock", "pyproject.toml", "libs/x/pyproject.toml")
        write(project, {**lock_edits.FILES, "uv.lock": locked})
    else:
        project, paths = dynamic("project")[0], ("uv.lock", "pyproject.toml", "fields.txt")
    path = numbers.choice(paths)
    write(project, {path: edit((project / path).read_text(), numbers)})
    try:
        found = check(project)
    except BentoError as error:
        found = str(error)
    done = uv(project, "--check")
    assert (found == []) == (done.returncode == 0), (path, found, done.stderr)


def test_without_isolation_no_code_of_the_project_runs(dynamic, monkeypatch):
    """Neither its build back end, which uv runs for dynamic fields in spite of `--no-build`, nor the Python of `.venv`."""
    project, _, canary = dynamic("project")
    python = f"#!/bin/sh\ntouch {canary}\nexec {sys.executable} $*\n"
    write(project, {".venv/bin/python": python, ".venv/pyvenv.cfg": "home = /\n"})
    (project / ".venv/bin/python").chmod(0o755)
    monkeypatch.setenv("UV_CACHE_DIR", f"{project}/../new")
    assert check(project) == []
    monkeypatch.setattr(uv_lock_check, "isolation_problem", lambda: "no namespaces")
    [note] = check(project)
    assert "/uv.lock: uv can't check the lock: Failed to" in note
    assert "(without isolation: no namespaces). If the project changed, run `uv lock`." in note
    assert not canary.exists()


@pytest.mark.parametrize("setting", ['allow-insecure-host = ["example.com"]', 'http-proxy = "http://127.0.0.1:9"'])
def test_a_setting_that_decides_who_gets_logins_needs_the_user(dynamic, setting):
    project, _, canary = dynamic("project")
    with (project / "pyproject.toml").open("a") as file:
        file.write(f"[tool.uv]\n{setting}\n")
    [note] = check(project)
    assert f"(without isolation: {project}/pyproject.toml: {setting.split()[0]})" in note
    assert not canary.exists()


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
    variables = "HOME PATH PWD TMPDIR UV_CACHE_DIR UV_NATIVE_TLS UV_PROJECT_ENVIRONMENT UV_SYSTEM_CERTS XDG_CONFIG_HOME"
    assert f"cat: {outside}: Permission denied {variables}" in str(caught.value)
    assert not (project / "written").exists()
