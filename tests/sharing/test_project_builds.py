"""The wheel of a project has the files that its build back end sees and chooses, as with `uv build`."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from bento_cli.cli import status
from rules_bento.images.registry.layout import Layout

from tests.helpers.project_wheels import write
from tests.sharing.build_support import GIT, IN_TREE, LISTING, SITE, git, listing
from tests.sharing.image_support import UV_BUILD, build, read

pytestmark = pytest.mark.skipif(GIT is None, reason="git is missing")


def installed(out):
    """The files of the project's package in an image, by path in site-packages."""
    return {name.removeprefix(f"{SITE}/") for name in read(out)[2][-1] if name.startswith(f"{SITE}/web/")}


def test_the_wheel_is_that_of_uv_build(machine, bento, tmp_path):
    files = {
        ".gitignore": "*_pb2.py\nstatic/\n!kept_pb2.py\n",
        "src/web/__init__.py": "",
        "src/web/schema_pb2.py": "x = 1\n",
        "src/web/kept_pb2.py": "x = 2\n",
        "src/web/kept/x_pb2.py": "x = 3\n",
        "src/web/static/bundle.js": "1",
        "src/web/template/.gitignore": "",
        "src/web/template/.github/ci.yml": "",
        "shared/x.txt": "x",
    }
    project = machine(files, "tiny", pyproject=UV_BUILD)
    git(project, "init")
    (project / "src/web/one.txt").symlink_to("../../shared/x.txt")
    git(project, "add", "-A")
    git(project, "add", "-f", "src/web/kept")
    git(project, "commit", "-m", "x")
    told = build(bento, project, tmp_path, "--entrypoint", "python")
    git(tmp_path, "clone", project, "clone")
    words = [os.environ["RULES_BENTO_UV"], "build", "-q", "--wheel", "--python", sys.executable]
    subprocess.run([*words, "--out-dir", tmp_path / "built"], cwd=tmp_path / "clone", check=True)
    [wheel] = (tmp_path / "built").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        expected = {name for name in archive.namelist() if name.startswith("web/") and not name.endswith("/")}
    directories = {str(parent) for name in expected for parent in Path(name).parents}
    assert {name for name in installed(tmp_path / "out") if not name.endswith(".pyc")} - directories == expected
    assert {"web/template/.github/ci.yml", "web/one.txt", "web/kept/x_pb2.py", "web/kept_pb2.py"} <= expected
    ignored = [os.path.relpath(project / "src/web" / name) for name in ("schema_pb2.py", "static")]
    note = (
        f"the build doesn't see files that Git ignores: {', '.join(ignored)}. To add one, run `git add -f {ignored[0]}`"
    )
    assert f"note: {project}/pyproject.toml: {note}" in told
    (project / ".git/info/exclude").unlink(missing_ok=True)
    (project / ".git/info/exclude").symlink_to("/dev/zero")
    git(project, "add", "-f", "src/web/schema_pb2.py", "src/web/static")
    assert "Git ignores" not in build(bento, project, tmp_path, "--entrypoint", "python", out="again")
    assert {"web/schema_pb2.py", "web/static/bundle.js"} <= installed(tmp_path / "again")
    git(project, "rm", "-q", "--cached", "pyproject.toml")
    (project / ".gitignore").write_text("*.toml\n")
    told = build(bento, project, tmp_path, "--entrypoint", "python", code=status.ERROR)
    assert f"{project}/pyproject.toml: Git ignores the file. Run `git add -f pyproject.toml`" in told


def test_a_back_end_sees_the_repository_without_changing_it(machine, bento, tmp_path):
    project = machine({"back/back.py": f"TOP, GIT = '..', False\n{LISTING}"}, "tiny", pyproject=IN_TREE)
    repository = tmp_path / "repository"
    write(repository, {"common/.env": "a", "outside.txt": "b", ".venv/pyvenv.cfg": ""})
    (tmp_path / "beyond").write_text("c")
    (repository / "link").symlink_to("../beyond")
    git(repository, "init")
    (repository / "other").symlink_to("common")
    (repository / "absolute").symlink_to(repository / "common")
    os.mkfifo(repository / "pipe")
    project = project.rename(repository / "project")
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    build(bento, project, tmp_path, "--entrypoint", "python")
    found = listing(tmp_path / "out")
    assert {f"{name}/.env: a" for name in ("common", "other", "absolute")} <= {*found}
    assert {"outside.txt: b", "link: "} <= {*found}
    assert not any(line.startswith(("beyond", "pipe", ".venv")) for line in found)
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("place", ["..", "{}"])
def test_a_back_end_sees_no_login_of_git(place, machine, bento, tmp_path):
    repository = tmp_path / "repository"
    top = place.format(repository)
    project = machine({"back/back.py": f"TOP, GIT = {top + '/.git'!r}, False\n{LISTING}"}, "tiny", pyproject=IN_TREE)
    write(repository, {"x": ""})
    git(repository, "init")
    git(repository, "remote", "add", "origin", "https://me:word@example.com/x")
    git(repository, "config", "http.extraheader", "Authorization: word")
    write(repository, {".git/modules/other/config": "[core]\n\tbare = true\n[x]\n\ty = word\n"})
    build(bento, project.rename(repository / "project"), tmp_path, "--entrypoint", "python")
    found = "\n".join(listing(tmp_path / "out"))
    if place == "..":
        assert "config: [core]\n\trepositoryformatversion" in found
        assert "modules/other/config: [core]" in found
    else:  # it sees a copy, and only there
        assert found == ""
    assert "word" not in found


def test_a_back_end_sees_no_repository_of_the_home_directory(machine, bento, tmp_path, monkeypatch):
    project = machine({"back/back.py": f"TOP, GIT = '..', False\n{LISTING}"}, "tiny", pyproject=IN_TREE)
    git(tmp_path, "init")
    monkeypatch.setenv("HOME", str(tmp_path))
    build(bento, project, tmp_path, "--entrypoint", "python")
    assert not any(line.startswith("wheels/") for line in listing(tmp_path / "out"))


def test_a_change_in_the_repository_builds_again(machine, bento, tmp_path, builds):
    """A change of what the back end sees, for a back end that could read everything."""
    project = machine({"back/back.py": f"TOP, GIT = '..', False\n{LISTING}"}, "tiny", pyproject=IN_TREE)
    repository = tmp_path / "repository"
    write(repository, {"common/a": "1", "x": "1"})
    git(repository, "init")
    project = project.rename(repository / "project")

    def count(out="out"):
        builds.clear()
        build(bento, project, tmp_path, "--entrypoint", "python", out=out)
        return len(builds)

    assert count() == 1
    os.utime(repository / "x", (0, 0))
    write(
        repository,
        {"x": "1", ".venv/pyvenv.cfg": "", ".venv/x": "1", "common/__pycache__/a.pyc": "1", ".cache/CACHEDIR.TAG": ""},
    )
    assert count("repository/project/out") == 0
    write(repository, {".venv/x": "2", "common/__pycache__/a.pyc": "2", ".cache/x": "2"})
    assert count("repository/project/out") == 0
    shutil.rmtree(repository / "project/out")
    assert count("repository/common/other/out") == 0
    (repository / "x").write_text("0")
    assert count("repository/common/other/out") == 1
    assert not any("/out" in line for line in listing(repository / "common/other/out"))
    shutil.rmtree(repository / "common/other")
    for change in (
        lambda: (repository / "common/a").write_text("2"),
        lambda: (repository / "x").chmod(0o755),
        lambda: (repository / "link").symlink_to("x"),
        lambda: ((repository / "link").unlink(), (repository / "link").symlink_to("common")),
        lambda: (repository / "x").unlink(),
        lambda: git(repository, "commit", "--allow-empty", "-m", "x"),
        lambda: git(repository, "tag", "v1"),
    ):
        change()
        assert count() == 1
        assert count() == 0


@pytest.mark.parametrize("kind", ["clone", "submodule", "worktree"])
def test_a_back_end_reads_the_version_from_git(kind, machine, bento, tmp_path, builds):
    project = machine({"back/back.py": f"TOP, GIT = 'back', True\n{LISTING}"}, "tiny", pyproject=IN_TREE)
    git(project, "init")
    git(project, "add", "-A")
    git(project, "commit", "-m", "x")
    git(project, "tag", "v3.2")
    if kind == "submodule":
        git(tmp_path, "init")
    words = {
        "clone": ["clone", project, "elsewhere"],
        "submodule": ["-c", "protocol.file.allow=always", "submodule", "add", project, "elsewhere"],
        "worktree": ["-C", project, "worktree", "add", tmp_path / "elsewhere"],
    }
    git(tmp_path, *words[kind])
    digests = []
    for directory, out in ((project, "out"), (tmp_path / "elsewhere", "again")):
        build(bento, directory, tmp_path, "--entrypoint", "python", out=out)
        assert listing(tmp_path / out)[-1] == "git: v3.2"
        digests.append(Layout.open(tmp_path / out).find().descriptor.digest)
    assert digests[0] == digests[1]
    git(project, "commit", "--allow-empty", "-m", "x")
    build(bento, project, tmp_path, "--entrypoint", "python")
    assert re.fullmatch("git: v3.2-1-g[0-9a-f]+", listing(tmp_path / "out")[-1])


def test_secrets_are_found_in_the_wheel(machine, bento, tmp_path):
    key = "key = 'AKIAIOSFODNN7EXAMPLA'\n"
    files = {
        "src/web/__init__.py": key,
        ".gitignore": "local.py\n",
        "src/web/local.py": f"1\n{key}",
        "tests/key.py": key,
    }
    project = machine({**files, "README.md": key}, "tiny", pyproject='readme = "README.md"\n' + UV_BUILD)
    words = ["--entrypoint", "python"]
    told = build(bento, project, tmp_path, *words, code=status.ERROR)
    found = {"README.md:8", "src/web/__init__.py:1", "src/web/local.py:2"}
    assert {*re.findall("  (.*): AWS access key ID", told)} == found
    for path in ("src/web/__init__.py", "src/web/local.py", "README.md"):
        words += ["--allow-secret", path]
    build(bento, project, tmp_path, *words, "--allow-secret", "tests/key.py")
    told = build(bento, project, tmp_path, *words, "--allow-secret", "tests/absent.py", code=status.ERROR)
    assert "--allow-secret contains tests/absent.py, which isn't a file of the project. Remove the path." in told
    (project / "src/web/model.bin").write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\n")
    told = build(bento, project, tmp_path, "--entrypoint=python", "--no-secrets-check", code=status.ERROR)
    assert f"{project}/pyproject.toml: src/web/model.bin is a pointer of Git LFS, not the file. Run" in told


def test_file_systems_in_the_project_are_seen(machine, bento, tmp_path):
    """As of volumes in a container, which an overlay doesn't contain."""
    project = machine({"src/web/__init__.py": ""}, "tiny", pyproject=UV_BUILD)
    build(bento, project, tmp_path, "--entrypoint", "python")
    (project / "src/web/volume").mkdir()
    mounts = "cd src/web/volume; mount -t tmpfs none .; cd .; cd ../volume; echo 1 > a.txt; mkdir b; mount -t tmpfs none b; echo 2 > b/c.txt"
    unshare = shutil.which("unshare", path=os.defpath)
    namespace = [unshare, "--user", "--map-root-user", "--mount", "sh", "-ec"]
    variables = {**os.environ, "PATH": f"{Path(os.environ['RULES_BENTO_UV']).parent}:{os.defpath}"}
    variables["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, ["py", *filter(None, sys.path)]))
    if not unshare or subprocess.run([*namespace, mounts], cwd=project, env=variables, check=False).returncode:
        pytest.skip("this system allows no mounts")
    words = f"image . --base oci:{tmp_path}/base --output oci:{tmp_path}/again --entrypoint python --no-bytecode"
    code = "import sys; from bento_cli.__main__ import main; sys.exit(main())"
    command = [*namespace, f'{mounts}; cd ../../..; exec "$@"', "sh", sys.executable, "-c", code, *words.split()]
    subprocess.run(command, cwd=project, env=variables, check=True)
    assert {"web/volume/a.txt", "web/volume/b/c.txt"} <= installed(tmp_path / "again")


def test_files_of_another_user_are_built(machine, bento, tmp_path, monkeypatch):
    """As for root in a container, with files of the user of the machine."""
    if os.getuid():
        pytest.skip("only root can change owners")
    project = machine({"src/web/__init__.py": ""}, "tiny", pyproject=UV_BUILD)
    for path in (project, *project.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
        try:
            os.chown(path, 1234, 1234)
        except OSError:
            pytest.skip("a sandbox has one user")
    build(bento, project, tmp_path, "--entrypoint", "python")
    assert "web/__init__.py" in installed(tmp_path / "out")
