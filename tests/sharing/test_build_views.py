"""What a build back end sees decides which wheel it gets from the cache, and a proof builds again."""

import hashlib
import importlib._bootstrap_external as external
import importlib.util
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest
from bento_cli.cli import status
from bento_cli.projects import project_tree
from bento_cli.sharing import native_cache
from rules_bento.base import landlock
from rules_bento.images.registry.layout import Layout

from tests.helpers.made_wheels import Maker
from tests.helpers.project_wheels import write
from tests.sharing.build_support import GIT, IN_TREE, LISTING, git, listing
from tests.sharing.image_support import build, sha
from tests.sharing.support import WRITE_WEB

pytestmark = pytest.mark.skipif(GIT is None, reason="git is missing")
# A back end whose wheel describes everything that it sees: contents, modes, times, and extended attributes.
ALL = """
import hashlib, sys
def build_wheel(directory, settings=None, metadata=None):
    lines = []
    for parent, names, files in os.walk(TOP):
        names.sort()
        for name in (*files, *names):
            path = os.path.join(parent, name)
            status = os.lstat(path)
            content = os.readlink(path) if os.path.islink(path) else ""
            content = hashlib.sha256(open(path, "rb").read()).hexdigest() if os.path.isfile(path) else content
            time = 0 if os.path.isdir(path) else status.st_mtime_ns
            found = (status.st_mode, time, os.listxattr(path, follow_symlinks=False), content)
            lines.append(f"{os.path.relpath(path, TOP)}: {found}")
    lines = sorted(lines) + [f"imported: {IMPORTED}"]
    return write_web(directory, lines)
"""
FILES = {
    "back/back.py": f"import version\nTOP, IMPORTED = '.', version.VERSION\n{WRITE_WEB}{ALL}",
    "back/version.py": "VERSION = 1\n",
}
CACHE = f"version.{sys.implementation.cache_tag}.pyc"
MARKED = {"CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55\n", "pyvenv.cfg": ""}


def bytecode(directory):
    """Write unchecked bytecode of other code than that of the module."""
    code = external._code_to_hash_pyc(
        compile("VERSION = 'evil'", "version.py", "exec"), importlib.util.source_hash(b""), False
    )
    (directory / "back/__pycache__").mkdir(exist_ok=True)
    (directory / "back/__pycache__" / CACHE).write_bytes(code)


def clone(project, path):
    """A copy with the same times, so with the index of Git of the project."""
    shutil.copytree(project, path, symlinks=True)
    return path


@pytest.fixture
def project(machine):
    made = machine(FILES | {".gitignore": "__pycache__\n.gen\n"}, "tiny", pyproject=IN_TREE)
    git(made, "init")
    git(made, "add", "-A")
    git(made, "commit", "-m", "x")
    return made


def image(bento, directory, tmp_path, out="out"):
    told = build(bento, directory, tmp_path, "--entrypoint", "python", out=out)
    return Layout.open(tmp_path / out).find().descriptor.digest, listing(tmp_path / out), told


def verify(bento, project, tmp_path, out="out", code=0):
    words = (
        "--rebuild",
        "--source",
        project,
        "--base",
        f"oci:{tmp_path / 'base'}",
        "--bytecode-python",
        sys.executable,
    )
    return bento("verify", f"oci:{tmp_path / out}", *words, "--entrypoint", "python", code=code)


@pytest.mark.parametrize("is_clone", [False, True], ids=["directories", "one clone"])
def test_bytecode_of_another_clone_decides_nothing(is_clone, project, bento, tmp_path):
    if not is_clone:
        shutil.rmtree(project / ".git")
    evil = project if is_clone else clone(project, tmp_path / "evil")
    bytecode(evil)
    first, seen, _ = image(bento, evil, tmp_path)
    assert seen[-1] == "imported: 1"
    if is_clone:
        git(project, "clean", "-fdx")
    assert image(bento, project, tmp_path, "clean")[:2] == (first, seen)


def test_a_forced_file_with_the_tag_of_caches_is_seen(machine, bento, tmp_path):
    made = machine(FILES, "tiny", pyproject=IN_TREE)
    write(made, {".gen/table.py": "1", ".gen/CACHEDIR.TAG": MARKED["CACHEDIR.TAG"]})
    first, seen, _ = image(bento, made, tmp_path)
    write(made, {".gen/table.py": "2"})
    second, changed, _ = image(bento, made, tmp_path)
    assert first != second
    assert {line.partition(":")[0] for line in {*seen} ^ {*changed}} == {".gen/table.py"}


def commit_object(directory):
    name = subprocess.run([GIT, "rev-parse", "HEAD"], cwd=directory, capture_output=True, text=True, check=True).stdout
    return directory / ".git/objects" / name[:2] / name[2:].strip()


def forge(directory):
    path = commit_object(directory)
    path.chmod(0o644)
    path.write_bytes(b"forged")


# What another clone with the same files can have, by whether its builds see it.
DIFFERENCES = {
    "bytecode": (False, bytecode),
    "bytecode of a subdirectory": (False, lambda at: write(at, {"back/sub/__pycache__/x.pyc": "1"})),
    "a link named like a cache": (False, lambda at: (at / "__pycache__").symlink_to("back")),
    "a virtual environment": (False, lambda at: write(at, {".venv/x.py": "1", ".venv/pyvenv.cfg": ""})),
    "tox": (False, lambda at: write(at, {".tox/CACHEDIR.TAG": "1", ".tox/x.py": ""})),
    "a cache of mypy": (False, lambda at: write(at, {".mypy_cache/CACHEDIR.TAG": "1", ".mypy_cache/x.py": ""})),
    "a file of macOS": (False, lambda at: write(at, {".DS_Store": "1"})),
    "an ignored file": (False, lambda at: write(at, {".gen/x": "1"})),
    "an empty directory": (False, lambda at: (at / "empty").mkdir()),
    "a pipe": (False, lambda at: os.mkfifo(at / "pipe")),
    "a hook": (False, lambda at: write(at, {".git/hooks/post-index-change": "#!/bin/sh\n"})),
    "logs": (False, lambda at: write(at, {".git/logs/HEAD": "1"})),
    "an edited message": (False, lambda at: write(at, {".git/COMMIT_EDITMSG": "1", ".git/FETCH_HEAD": "1"})),
    "a description": (False, lambda at: write(at, {".git/description": "1", ".git/lfs/x": "1"})),
    "the rest of a submodule": (False, lambda at: write(at, {".git/modules/a/hooks/x": "1", ".git/modules/a/logs/x": ""})),
    "a login of Git": (False, lambda at: git(at, "config", "http.extraheader", "Authorization: x")),
    "the time of a file that Git doesn't track": (False, lambda at: None),
    "an extended attribute": (False, lambda at: os.setxattr(at / "back/back.py", "user.x", b"1")),
    "the rights of a directory": (False, lambda at: (at / "back").chmod(0o700)),
    "a setting of the core": (True, lambda at: git(at, "config", "core.hooksPath", "back")),
    "a branch": (True, lambda at: git(at, "branch", "other")),
    "attributes": (True, lambda at: write(at, {".git/info/attributes": "* text\n"})),
    "alternates": (True, lambda at: write(at, {".git/objects/info/alternates": "../../back\n"})),
    "a commit graph": (True, lambda at: write(at, {".git/objects/info/commit-graph": "1"})),
    "a forged object": (True, forge),
    "a pack": (True, lambda at: git(at, "gc")),
    "an environment without its mark": (True, lambda at: write(at, {".venv/x.py": "1"})),
    "a nested repository": (True, lambda at: write(at, {"nested/.git/HEAD": "1", "nested/.git/hooks/x": "1"})),
    "tracked bytecode": (True, lambda at: (bytecode(at), git(at, "add", "-f", "back/__pycache__"))),
    "the mode of a file": (True, lambda at: (at / "back/version.py").chmod(0o600)),
    "the time of a tracked file": (True, lambda at: os.utime(at / "back/version.py", (0, 0))),
    "a link": (True, lambda at: (at / "new").symlink_to("back")),
    "a forced file": (True, lambda at: (write(at, {".gen/x": "1"}), git(at, "add", "-f", ".gen/x"))),
}  # fmt: skip


def test_what_a_build_sees_is_what_its_key_covers(project, bento, tmp_path, builds, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    write(project, {"untracked": "1"})
    reference, seen, _ = image(bento, project, tmp_path)
    wrong = {}
    for number, (name, (expected, change)) in enumerate(DIFFERENCES.items()):
        other = clone(project, tmp_path / f"clone{number}")
        change(other)
        os.utime(other / "untracked", (0, 0))
        builds.clear()
        digest, found, _ = image(bento, other, tmp_path)
        result = [(len(builds) == 1, found != seen)]
        if not builds:  # what a build would see, which the cache has answered
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache{number}"))
            alone, in_own, _ = image(bento, other, tmp_path)
            monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
            result.append((alone != digest, in_own != found))
        if {*result} != {(expected, expected)}:
            wrong[name] = result
        shutil.rmtree(other)
    builds.clear()
    assert (image(bento, project, tmp_path)[0], builds) == (reference, []), "a clone changed the result of the project"
    assert not wrong


def test_no_settings_of_git_have_logins(project, bento, tmp_path):
    """Also those of nested repositories."""
    settings = ".git/config", ".git/modules/a/config", "vendor/a/.git/config"
    needed = "[core]\n\tbare = false\n\tfilemode = true\n"
    write(project, dict.fromkeys(settings, f'{needed}[remote "origin"]\n\turl = https://me:password@git.test/a\n'))
    lines = image(bento, project, tmp_path)[1]
    expected = hashlib.sha256(needed.replace("\tbare = false\n", "").encode()).hexdigest()
    assert {line.partition(":")[0] for line in lines if expected in line} == {*settings}


def test_git_finds_no_changes_in_the_copy(machine, bento, tmp_path):
    """It compares times and sizes, because the build lacks filters of the user, as of LFS."""
    back = LISTING.replace('"--always"', '"--dirty"')
    files = {"back/back.py": f"TOP, GIT = 'back', True\n{back}", ".gitattributes": "x filter=x\n", "x": "large"}
    made = machine(files, "tiny", pyproject=IN_TREE)
    (made / "link").symlink_to(made / "back")
    for path in made.rglob("*"):
        os.utime(path, (1_600_000_000, 1_600_000_000), follow_symlinks=False)  # before the time of the index
    git(made, "init")
    git(made, "-c", "filter.x.clean=echo pointer", "add", "-A")
    git(made, "commit", "-m", "x")
    git(made, "tag", "v1")
    assert image(bento, made, tmp_path)[1][-1] == "git: v1"
    write(made, {"x": "other"})
    assert image(bento, made, tmp_path)[1][-1] == "git: v1-dirty"


def test_files_that_change_meanwhile_have_the_key_of_what_was_built(project, bento, tmp_path, builds, monkeypatch):
    key, before = project_tree.ProjectTree.key, (project / "back/version.py").read_text()

    def change(tree, member, copy=None):
        if copy:
            landlock.outside((project / "back/version.py").write_text, "VERSION = 2\n")
        return key(tree, member, copy)

    with monkeypatch.context() as patch:
        patch.setattr(project_tree.ProjectTree, "key", change)
        assert image(bento, project, tmp_path)[1][-1] == "imported: 2"
    (project / "back/version.py").write_text(before)
    assert image(bento, project, tmp_path)[1][-1] == "imported: 1"
    assert len(builds) == 2


def test_a_proof_reads_no_result_of_a_build(project, bento, tmp_path, builds, monkeypatch):
    """Such as the wheel of a dishonest build, with a correct digest."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    image(bento, project, tmp_path)
    [wheel] = cache.glob("rules_bento/native/layers/*/web-1.0-*.whl")
    Maker("web").add({"web/__init__.py": "evil", "web/found": ""}).write(wheel.parent)
    digests = {path.name: sha(path) for path in wheel.parent.iterdir() if path.name != "digests"}
    native_cache.write_record(wheel.parent / "digests", digests)
    builds.clear()
    image(bento, project, tmp_path)
    assert builds == []  # an image is as trusted as its cache
    with opened_files() as files:
        assert "web/__init__.py" in verify(bento, project, tmp_path, code=status.FOUND)
    assert builds == ["."]
    results = f"{cache}/rules_bento/native/"
    read = {path.removeprefix(results).partition("/")[0] for path in files if path.startswith(results)}
    assert read <= {"lock", "wheels"}
    shutil.rmtree(wheel.parent)
    image(bento, project, tmp_path)
    assert "0 findings" in verify(bento, project, tmp_path)


@contextmanager
def opened_files():
    """The files that this process opens. A hook can't be removed."""
    files, is_on = [], [True]
    sys.addaudithook(lambda event, words: files.append(str(words[0])) if is_on[0] and event == "open" else None)
    yield files
    is_on[0] = False
