"""tools/release.py: the archive of a commit, its entry in a registry, its notes."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).absolute().parent.parent.parent
PROGRAM = ROOT / "tools/release.py"
COPIED = (".bcr/metadata.template.json", ".bcr/presubmit.yml", ".bcr/source.template.json", ".gitattributes")
LEFT_OUT = (
    ".ci/run", ".github/workflows/ci.yaml", "bench/build.py", "e2e/BUILD.bazel", "e2e/monorepo/MODULE.bazel",
    "e2e/run.py", "tests/deep/down/test_it.py",
)  # fmt: skip
KEPT = (
    "BUILD.bazel",
    "CHANGELOG.md",
    "MODULE.bazel",
    "debian/python.lock.json",
    "docs/cli.md",
    "e2e/smoke/MODULE.bazel",
    "e2e/smoke/imports_test.py",
    "py/main.py",
    # Named as what is left out, and elsewhere.
    "py/rules_bento/bench/kept.py",
    "py/rules_bento/tests/kept.py",
)
NAME = "rules_bento-v1.2.3.tar.gz"
MODULE = 'module(\n    name = "rules_bento",\n    version = "1.2.3",\n)\n'
CHANGELOG = "# Changelog\n\n## 1.2.3\n\nAll new ([how](docs/cli.md#when)).\n\n## 1.2\n\nNot of this one.\n"
PLAIN = {
    "GIT_AUTHOR_DATE": "2026-03-01T12:00:00+09:00",
    "GIT_COMMITTER_DATE": "2026-03-01T12:00:00+09:00",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "PATH": os.environ["PATH"],
}

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="there is no git")


def git(directory, *words):
    identity = ("-c", "user.name=A", "-c", "user.email=a@localhost")
    subprocess.run(["git", *identity, *words], cwd=directory, env=PLAIN, check=True, capture_output=True)


def commit(directory, files):
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text, "utf-8")
    git(directory, "add", "--all", "--force")
    git(directory, "commit", "--quiet", "--message=x")


@pytest.fixture
def repository(tmp_path):
    directory = tmp_path / "repository"
    directory.mkdir()
    git(directory, "init", "--quiet")
    files = dict.fromkeys(LEFT_OUT + KEPT, "a\nb\n")
    files |= {path: (ROOT / path).read_text("utf-8") for path in COPIED}
    commit(directory, files | {"MODULE.bazel": MODULE, "CHANGELOG.md": CHANGELOG})
    return directory


def release(repository, *words, umask=0o022, **variables):
    return subprocess.run(
        [sys.executable, PROGRAM, *words],
        cwd=repository,
        env=PLAIN | variables,
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )


def released(repository, out, *words, **surroundings):
    done = release(repository, out, *words, **surroundings)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out / NAME}\n"
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_two_clones_make_the_same_bytes(repository, tmp_path):
    first = released(repository, tmp_path / "first")
    clone = tmp_path / "elsewhere/clone"
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    (clone / "py/main.py").write_text("changed, and in no commit\n")
    (clone / "new.txt").write_text("in no commit\n")
    (tmp_path / "attributes").write_text("* export-ignore\n")
    (tmp_path / "gitconfig").write_text(
        f"[core]\nautocrlf = true\neol = crlf\nattributesFile = {tmp_path}/attributes\n[tar]\numask = 0077\n"
    )
    other = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "LANG": "tr_TR", "GIT_CONFIG_GLOBAL": f"{tmp_path}/gitconfig"}
    assert released(clone / "py", tmp_path / "second", umask=0o077, **other) == first


def test_the_archive_excludes_what_nothing_needs(repository, tmp_path):
    released(repository, tmp_path / "out")
    with tarfile.open(tmp_path / "out" / NAME) as archive:
        members = archive.getmembers()
    assert sorted(member.name for member in members if member.isfile()) == [
        f"rules_bento-1.2.3/{path}" for path in KEPT
    ]
    assert {(member.mode, member.uid, member.uname) for member in members if member.isfile()} == {(0o644, 0, "root")}


def test_the_entry_is_that_of_a_registry(repository, tmp_path):
    out = tmp_path / "out"
    files = released(repository, out, GITHUB_REPOSITORY="someone/fork")
    entry = "modules/rules_bento/1.2.3"
    assert sorted(files) == [
        f"{entry}/MODULE.bazel", f"{entry}/presubmit.yml", f"{entry}/source.json",
        "modules/rules_bento/metadata.json", "notes.md", NAME,
    ]  # fmt: skip
    assert files[f"{entry}/MODULE.bazel"] == MODULE.encode()
    integrity = "sha256-" + base64.b64encode(sha256(files[NAME]).digest()).decode()
    assert json.loads(files[f"{entry}/source.json"]) == {
        "docs_url": "https://github.com/someone/fork/releases/download/v1.2.3/rules_bento-v1.2.3.docs.tar.gz",
        "integrity": integrity,
        "strip_prefix": "rules_bento-1.2.3",
        "url": f"https://github.com/someone/fork/releases/download/v1.2.3/{NAME}",
    }
    metadata = json.loads(files["modules/rules_bento/metadata.json"])
    assert metadata["versions"] == ["1.2.3"]
    assert metadata["repository"] == ["github:someone/fork"]
    assert metadata["maintainers"] == [{"github": "someone"}]
    notes = files["notes.md"].decode()
    assert 'bazel_dep(name = "rules_bento", version = "1.2.3")' in notes
    assert integrity in notes
    assert "All new ([how](https://github.com/someone/fork/blob/v1.2.3/docs/cli.md#when))." in notes
    assert "Not of this one." not in notes


def test_an_older_commit_is_released_unchanged(repository, tmp_path):
    first = released(repository, tmp_path / "first")
    commit(repository, {"MODULE.bazel": MODULE.replace("1.2.3", "1.2.4"), "CHANGELOG.md": "## 1.2.4\n\nMore.\n"})
    assert released(repository, tmp_path / "second", "HEAD~") == first


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["out", "no-commit"], "git show no-commit:MODULE.bazel failed, see above."),
        ([], "usage: release.py DIRECTORY [COMMIT]"),
        (["out", "HEAD", "more"], "usage: release.py DIRECTORY [COMMIT]"),
    ],
)
def test_a_wrong_command_is_reported(repository, words, message):
    done = release(repository, *words)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (repository / "out").exists()


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("CHANGELOG.md", CHANGELOG.replace("1.2.3", "1.2.30"), "CHANGELOG.md: the section '## 1.2.3' is missing or empty."),
        ("CHANGELOG.md", CHANGELOG.replace("All new ([how](docs/cli.md#when)).", " "), "CHANGELOG.md: the section '## 1.2.3' is missing or empty."),
        ("MODULE.bazel", 'module(name = "rules_bento")\n', "MODULE.bazel: module() has no version."),
    ],
)  # fmt: skip
def test_what_says_too_little_is_not_a_release(repository, tmp_path, path, text, message):
    commit(repository, {path: text})
    done = release(repository, tmp_path / "out")
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "out").exists()
