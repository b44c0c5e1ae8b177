"""Locks of `bento build` and `bento lock`: real uv, and a package index on this machine that records its requests."""

import base64
import hashlib
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml
from bento_cli.cli import main
from bento_cli.projects.from_directory import build, build_bentofile
from rules_bento.base.errors import BentoError
from rules_bento.bentos.service.import_twice import isolation_problem

from tests.helpers.loopback import Handler, running
from tests.helpers.made_wheels import METADATA, Maker

UV = str(Path(os.environ["RULES_BENTO_UV"]).absolute())
SERVICE = "import bentoml\n\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self, x: int) -> int:\n        return x\n"


@pytest.fixture
def index(tmp_path):
    """A package index with stub wheels. `index.seen` has the value of the header Authorization of each request."""
    links = tmp_path / "links"
    links.mkdir()
    for name, version, more in (
        ("bentoml", "1.4.39", "Provides-Extra: grpc\nRequires-Dist: idna; extra == 'grpc'\n"),
        ("idna", "3.9", ""),
        ("idna", "3.10", ""),
    ):
        wheel = Maker(name, version)
        wheel.files[f"{wheel.dist_info}/METADATA"] = (METADATA.format(name, version) + more).encode()
        wheel.write(links)
    sdist = links / "built-1.0.tar.gz"
    sdist.write_bytes(b"never unpacked")

    class Pages(Handler):
        def do_GET(self):
            self.server.seen.append(self.headers.get("Authorization"))
            if self.server.is_private and not self.headers.get("Authorization"):
                self.send(401, headers={"WWW-Authenticate": "Basic"})
                return
            name = self.path.strip("/").rpartition("/")[2]
            file = links / name
            if file.is_file():
                self.send(200, file.read_bytes())
                return
            files = [path for path in sorted(links.iterdir()) if path.name.startswith(f"{name}-")]
            body = "".join(
                f'<a href="/files/{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}">{path.name}</a>'
                for path in files
            )
            self.send(200 if files else 404, body.encode(), {"Content-Type": "text/html"})

        do_HEAD = do_GET

    with running(Pages, links=links, seen=[], is_private=False) as server:
        server.url = f"http://{server.host}/simple"
        yield server


@pytest.fixture
def project(tmp_path, monkeypatch):
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "service.py").write_text(SERVICE)
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("rules_bento.bentos.packages.uv.find_uv", lambda: UV)
    for name in ("BENTO_NO_LOCK", "UV_OFFLINE", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def bento(capfd):
    def run(*words, code=0):
        found = main([str(word) for word in words])
        out, run.err = capfd.readouterr()
        assert found == code, (out, run.err)
        return out.strip()

    return run


def bentofile(project: Path, index, packages: str = "idna", more: str = "") -> None:
    text = f"service: service:Svc\npython:\n  packages: [bentoml==1.4.39, {packages}]\n  index_url: {index.url}\n{more}"
    (project / "bentofile.yaml").write_text(text)


def pyproject(project: Path, index, dependencies: str = '"bentoml==1.4.39", "idna<3.10"', more: str = "") -> None:
    text = f'[project]\nname = "proj"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = [{dependencies}]\n'
    (project / "pyproject.toml").write_text(
        f'{text}[[tool.uv.index]]\nname = "corp"\nurl = "{index.url}"\ndefault = true\n{more}'
    )


def test_a_build_without_a_lock_writes_one_and_uses_it(project, index, bento):
    bentofile(project, index)
    first = bento("build", "-o", "ref")
    assert bento.err.startswith("note: Locked 2 packages in requirements.lock.txt. Commit this file.")
    lock = (project / "requirements.lock.txt").read_text()
    requests = len(index.seen)
    assert bento("build", "-o", "ref") == first
    assert "Locked" not in bento.err
    assert len(index.seen) == requests
    entry = Path(bento("get", first, "-o", "path"))
    wheels = ["bentoml==1.4.39 \\\n    --hash=sha256:", "idna==3.10 \\\n    --hash=sha256:"]
    for text in (lock, (entry / "env/python/requirements.lock.txt").read_text()):
        assert all(wheel in text for wheel in wheels)
    assert (entry / "env/python/requirements.txt").read_text() == (
        f"--index-url {index.url}\nbentoml==1.4.39\nidna==3.10\n"
    )
    assert (entry / "src/requirements.lock.txt").read_text() == lock


def test_a_lock_that_does_not_satisfy_the_requirements_is_an_error(project, index, bento):
    bentofile(project, index)
    bento("lock")
    bentofile(project, index, "'idna<3.10'")
    bento("build", code=1)
    assert (
        "requirements.lock.txt: the lock doesn't satisfy 'idna<3.10'. To update the lock, run `bento lock`."
        in bento.err
    )
    bento("lock")
    assert "\nidna==3.9 " in (project / "requirements.lock.txt").read_text()
    bentofile(project, index)
    bento("build")
    bento("lock")
    assert "\nidna==3.9 " in (project / "requirements.lock.txt").read_text()
    bento("lock", "--upgrade-package", "idna")
    assert "\nidna==3.10 " in (project / "requirements.lock.txt").read_text()
    bento("build", "--python-version", "3.12", code=1)
    assert (
        "the lock is for Python 3.11, but the Bento is for Python 3.12 (--python-version). To update the lock, run `bento lock "
        in bento.err
    )
    bento("build", "--enable-features", "grpc", code=1)
    assert "run `bento lock --enable-features grpc`" in bento.err
    bento("lock", "--enable-features", "grpc")
    bento("build", "--enable-features", "grpc")
    bento("build")


@pytest.mark.parametrize(
    ("words", "more", "reason"),
    [
        (["--no-lock"], "", "because of --no-lock"),
        (["--offline"], "", "because of --offline"),
        ([], "  lock_packages: false\n", "because lock_packages is false"),
    ],
)
def test_a_build_without_a_lock_says_that_packages_are_not_locked(project, index, bento, words, more, reason):
    bentofile(project, index, more=more)
    bento("build", *words)
    assert f"note: The packages aren't locked, {reason}: each installation can get other versions." in bento.err
    assert index.seen == []
    assert not (project / "requirements.lock.txt").exists()


def test_offline_uses_a_lock_and_ci_requires_one(project, index, bento, monkeypatch):
    bentofile(project, index)
    monkeypatch.setenv("CI", "true")
    bento("build", code=1)
    assert (
        f"{project}: the project has no lock of its packages, and CI is set. Run `bento lock` in a writable checkout, "
        "and commit the lock. To build without a lock, add --no-lock.\n"
    ) in bento.err
    assert index.seen == []
    bento("lock")
    first = bento("build", "-o", "ref")
    monkeypatch.delenv("CI")
    assert bento("build", "--offline", "-o", "ref") == first
    assert "aren't locked" not in bento.err


def test_a_build_in_a_read_only_checkout_names_the_command(project, index, bento, monkeypatch):
    bentofile(project, index)
    monkeypatch.setattr("os.access", lambda *_: False)
    bento("build", code=1)
    assert "and the directory is read-only. Run `bento lock` in a writable checkout" in bento.err


def test_the_dependencies_of_a_project_are_locked_in_uv_lock(project, index, bento):
    pyproject(project, index)
    first = bento("build", "-o", "ref")
    assert "note: Locked 2 packages in uv.lock. Commit this file." in bento.err
    assert bento("build", "-o", "ref") == first
    subprocess.run([UV, "lock", "--check", "--quiet"], check=True)
    exported = subprocess.run(
        [UV, "export", "--quiet", "--no-header", "--no-annotate", "--no-emit-project"],
        check=True,
        capture_output=True,
        text=True,
    )
    entry = Path(bento("get", first, "-o", "path"))
    assert exported.stdout == (entry / "env/python/requirements.lock.txt").read_text()
    pyproject(project, index, '"bentoml==1.4.39", "idna>3.9"')
    (project / "uv.lock").write_text(body((project / "uv.lock").read_text()))  # of the user
    bento("build", code=1)
    assert (
        "uv.lock: the lock isn't current: mismatched requirements for: `proj==1` (idna). To update the lock, run `be"
        in bento.err
    )
    bento("lock")
    bento("build")
    text = re.sub("(?m)^requires-python.*", 'requires-python = "==3.13.*"', (project / "pyproject.toml").read_text())
    (project / "pyproject.toml").write_text(text)
    bento("build", ".", "--python-version", "3.11", code=1)
    assert (
        "pyproject.toml: the project requires Python ==3.13.*, but the Bento is for Python 3.11 (--python-version). Set "
        "--python-version 3.13, or docker" in bento.err
    )
    (project / "uv.lock").unlink()
    bento("build", ".", code=1)
    assert "but the Bento is for Python 3.11 (the default). Set --python-version 3.13, or" in bento.err
    assert "3.11.99" not in bento.err


def test_the_lock_of_a_workspace_is_the_lock_of_its_members(project, index, bento):
    """Nothing is written into a member."""
    pyproject(project, index)
    member = project / "services/svc"
    member.mkdir(parents=True)
    for name in ("pyproject.toml", "service.py"):
        (project / name).rename(member / name)
    root = '[tool.uv]\nconstraint-dependencies = ["idna<3.10"]\n[tool.uv.workspace]\nmembers = ["services/*"]\n'
    root += f'[[tool.uv.index]]\nurl = "{index.url}"\ndefault = true\n'
    (project / "pyproject.toml").write_text(root)
    text = (member / "pyproject.toml").read_text().replace("idna<3.10", "idna")
    (member / "pyproject.toml").write_text(re.sub(r"(?s)\[\[tool.uv.index.*?(?=\n\[|$)", "", text))
    bento("build", member, code=1)
    assert "the workspace has no uv.lock, of which " in bento.err
    subprocess.run([UV, "lock", "--quiet"], check=True)
    tag = bento("build", member, "-o", "ref")
    locked = Path(bento("get", tag, "-o", "path"), "env/python/requirements.lock.txt").read_text()
    assert "idna==3.9" in locked
    assert [path.name for path in member.iterdir() if "lock" in path.name] == []
    (project / "pyproject.toml").write_text(root.replace("<3.10", "<3.9"))
    bento("build", member, code=1)
    assert "uv.lock: the lock isn't current: mismatched constraints (idna). To update" in bento.err


def test_a_project_without_a_version_has_no_uv_lock(project, index, bento):
    """uv requires the version, and BentoML doesn't."""
    pyproject(project, index)  # with an index, which also applies
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text.replace('version = "1"\n', ""))
    bento("build", "-o", "ref")
    assert "note: Locked 2 packages in requirements.lock.txt. Commit this file." in bento.err


def test_a_uv_lock_without_all_requirements_limits_the_versions(project, index, bento):
    pyproject(project, index, '"idna<3.10"')
    subprocess.run([UV, "lock", "--quiet"], check=True)
    bentofile(project, index)
    bento("build")
    assert "note: uv.lock only limits the versions, because it doesn't lock all requirements." in bento.err
    assert "\nidna==3.9 " in (project / "requirements.lock.txt").read_text()


def test_a_pylock_is_used(project, index, bento):
    bentofile(project, index)
    bento("lock", "-o", "pylock.toml")
    first = bento("build", "-o", "ref")
    assert "Locked" not in bento.err
    entry = Path(bento("get", first, "-o", "path"))
    assert "idna==3.10 \\\n    --hash=sha256:" in (entry / "env/python/requirements.lock.txt").read_text()
    bento("lock", "-o", "../pylock.toml", code=1)
    assert "-o: expected pylock.toml or a name that ends in .txt" in bento.err


def test_the_lock_of_another_tool_is_used_and_kept(project, index, bento):
    pyproject(project, index, '"bentoml==1.4.39", "idna"', "[tool.bentoml.build]\nservice = 'service:Svc'\n")
    hashes = {"bentoml": A, "idna": B}
    text = json.dumps({
        "_meta": {"pipfile-spec": 6},
        "default": {name: {"version": VERSIONS[name], "hashes": [f"sha256:{each}"]} for name, each in hashes.items()},
        "develop": {"amd": {"version": "==1.0", "hashes": [f"sha256:{A}"]}},
    })  # fmt: skip
    (project / "Pipfile.lock").write_text(text)
    (project / "requirements.lock.txt").write_text(f"idna==3.10 --hash=sha256:{A}\n")  # images ignore it, too
    entry = Path(bento("get", bento("build", "-o", "ref"), "-o", "path"))
    locked = (entry / "env/python/requirements.lock.txt").read_text()
    assert locked.endswith(f"bentoml==1.4.39 \\\n    --hash=sha256:{A}\nidna==3.9 \\\n    --hash=sha256:{B}\n")
    bento("lock", code=1)
    assert "Pipfile.lock: `bento lock` doesn't write this lock. Run `pipenv lock`." in bento.err
    assert sorted(path.name for path in project.glob("*lock*")) == ["Pipfile.lock", "requirements.lock.txt"]
    pyproject(project, index, '"bentoml==1.4.39", "idna>3.9"', "[tool.bentoml.build]\nservice = 'service:Svc'\n")
    bento("build", code=1)
    assert "the lock doesn't satisfy 'idna>3.9'. To update the lock, run `pipenv lock`." in bento.err


def test_requirements_with_hashes_need_no_lock(project, index, bento):
    bentofile(project, index)
    bento("lock", "-o", "requirements.txt")
    (project / "bentofile.yaml").write_text("service: service:Svc\npython:\n  requirements_txt: requirements.txt\n")
    requests = len(index.seen)
    bento("build")
    assert "lock" not in bento.err
    assert len(index.seen) == requests


def test_an_implicit_lock_builds_no_package(project, index, bento, tmp_path):
    bentofile(project, index, "built")
    bento("build", code=1)
    assert "To get metadata of packages from their code, in isolation, run `bento lock`." in bento.err
    assert not (project / "requirements.lock.txt").exists()


def test_an_implicit_lock_sends_no_credentials_of_other_hosts(project, index, bento, monkeypatch, tmp_path):
    """The canaries: a password for an index called `corp`, and a login for all hosts."""
    (tmp_path / "netrc").write_text("default login canary password canary\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("UV_INDEX_CORP_USERNAME", "canary")
    monkeypatch.setenv("UV_INDEX_CORP_PASSWORD", "canary")
    pyproject(project, index)
    bento("build")
    assert index.seen
    assert set(index.seen) == {None}
    (project / "uv.lock").unlink()
    index.is_private = True
    bento("lock", "--upgrade")  # explicit, as `uv lock`
    login = base64.b64encode(b"canary:canary").decode()
    assert set(index.seen) == {None, f"Basic {login}"}


def test_a_lock_expands_no_variable(project, index, bento, monkeypatch):
    monkeypatch.setenv("CANARY", "canary")
    bentofile(project, index, f"'idna @ {index.url}/${{CANARY}}/idna-3.9-py3-none-any.whl'")
    for command in ("build", "lock"):
        bento(command, code=1)
    assert "a requirement contains '${', so uv would send the value of an environment variable" in bento.err
    assert index.seen == []


def test_a_lock_outside_of_the_project_is_not_read(project, index, bento, tmp_path):
    (tmp_path / "canary.txt").write_text("canary==1\n")
    (project / "requirements.lock.txt").symlink_to("../canary.txt")
    bentofile(project, index)
    bento("build", code=1)
    assert "canary==1" not in bento.err


def test_settings_of_uv_that_change_versions_are_applied(project, index, bento):
    bentofile(project, index)
    (project / "uv.toml").write_text('constraint-dependencies = ["idna<3.10"]\n')
    bento("build")
    assert "\nidna==3.9 " in (project / "requirements.lock.txt").read_text()


def test_a_project_above_the_temporary_directory_changes_no_lock(project, index, bento, tmp_path, monkeypatch):
    """Its settings would apply to a directory that has no pyproject.toml."""
    bentofile(project, index)
    temporary = tmp_path / "above/temporary"
    temporary.mkdir(parents=True)
    (tmp_path / "above/pyproject.toml").write_text(
        '[tool.uv.workspace]\n[tool.uv]\nconstraint-dependencies = ["idna<3.10"]\n'
    )
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    bento("build")
    assert "\nidna==3.10 " in (project / "requirements.lock.txt").read_text()


def test_each_bentofile_of_a_directory_has_its_lock(project, index, bento):
    bentofile(project, index)
    (project / "bentofile.yaml").rename(project / "other.yaml")
    bento("build", "-f", "other.yaml")
    assert (project / "other.requirements.lock.txt").is_file()
    assert not (project / "requirements.lock.txt").exists()


def test_the_lock_decides_the_version_of_bentoml(project, index, bento, monkeypatch):
    from bento_cli.projects import from_directory

    (project / "bentofile.yaml").write_text(f"service: service:Svc\npython:\n  index_url: {index.url}\n")
    first = bento("build", "-o", "ref")
    monkeypatch.setattr(from_directory, "BENTOML_VERSION", "1.4.99")
    assert bento("build", "-o", "ref") == first


A, B, VERSIONS = "a" * 64, "b" * 64, {"bentoml": "==1.4.39", "idna": "==3.9"}
BENTOFILE = "service: service:Svc\npython:\n  index_url: {}\n{}"


@pytest.mark.parametrize(
    ("dependencies", "packages", "lock", "version"),
    [
        ('"bentoml"', None, "", "1.4.77"),
        ('"bentoml>=1.4"', None, "", "1.4.77"),
        ('"bentoml>=1.4.40"', None, "", "1.4.77"),
        ('"bentoml>=1.4"', None, "uv lock", "1.4.77"),
        ('"bentoml<1.4.77"', None, "uv lock", "1.4.39"),
        ('"bentoml"', "idna", "uv lock", "1.4.77"),  # uv.lock only limits the versions
        ('"bentoml<1.4.77"', "bentoml", "uv lock", "1.4.39"),
        ("", "bentoml", "", "1.4.77"),
        ("", "'bentoml>1.4.39'", "", "1.4.77"),
        ("", "idna", "", "1.4.39"),  # nothing names bentoml
        ("", "idna", "pylock.toml", "1.4.77"),
        ("", "bentoml", "requirements.lock.txt", "1.4.77"),
    ],
)
def test_the_version_of_bentoml_is_the_users(project, index, bento, dependencies, packages, lock, version):
    """The index has a newer BentoML than our default, which limits no lock."""
    Maker("bentoml", "1.4.77").write(index.links)
    if dependencies:
        pyproject(project, index, dependencies, "" if packages else "[tool.bentoml.build]\nservice = 'service:Svc'\n")
    if lock == "uv lock":
        subprocess.run([UV, "lock", "--quiet"], check=True)
    elif lock:
        (project / "bentofile.yaml").write_text(BENTOFILE.format(index.url, "  packages: [bentoml, idna]\n"))
        bento("lock", "-o", lock)
    if packages:
        (project / "bentofile.yaml").write_text(BENTOFILE.format(index.url, f"  packages: [{packages}]\n"))
    tag = bento("build", "-o", "ref")
    assert bento("build", "-o", "ref") == tag
    path = Path(bento("get", tag, "-o", "path"))
    assert f"bentoml_version: {version}\n" in (path / "bento.yaml").read_text()
    assert f"bentoml=={version} " in (path / "env/python/requirements.lock.txt").read_text()
    bento("lock")
    assert bento("build", "-o", "ref") != ""


BACK_END = '[build-system]\nrequires = []\nbuild-backend = "back"\nbackend-path = ["."]\n'
BACK = """\
from pathlib import Path


def prepare_metadata_for_build_editable(directory, settings=None):
    lines = ["Requires-Dist: bentoml", "Requires-Dist: idna"]
    path = Path(directory, "proj-7.dist-info/METADATA")
    path.parent.mkdir()
    path.write_text("\\n".join(["Metadata-Version: 2.1", "Name: proj", "Version: 7", "Requires-Python: >=3.9", *lines, ""]))
    return path.parent.name
"""
GROUPS = '[dependency-groups]\ndev = ["idna>=3", {include-group = "more"}]\nmore = ["idna"]\n'


@pytest.mark.parametrize(
    ("project_lines", "more"),
    [
        ('version = "1"\n', ""),
        ('version = "1"\n', BACK_END),
        ('dynamic = ["version"]\n', BACK_END),
        ('version = "1"\ndynamic = ["optional-dependencies"]\n', BACK_END),
        ('version = "1"\n', GROUPS + "[tool.uv]\ndefault-groups = ['more']\n"),
        ('version = "1"\noptional-dependencies = {x = ["idna <3.10, >=3 ; python_version>\'3\'"]}\n', ""),
        ('version = "1"\n', '[tool.uv]\nconstraint-dependencies = ["idna<3.10"]\noverride-dependencies = ["idna>3"]\n'),
        (
            'version = "1"\n',
            "[tool.uv]\ndev-dependencies = ['idna']\nno-cache = true\n",
        ),
        ('version = "1"\n', '[tool.uv.sources]\nidna = { index = "corp" }\n'),
        ('version = "1"\n', GROUPS + "[tool.uv]\ndefault-groups = 'all'\n"),
        ('version = "1"\n', GROUPS + "[tool.uv.dependency-groups]\ndev = {requires-python = '>=3.12'}\n"),
        ('version = "1"\n', "[tool.uv]\nbuild-constraint-dependencies = ['idna<4']\n"),
        ('version = "1"\n', "[tool.uv]\nexclude-dependencies = ['attrs']\nresolution = 'lowest'\n"),
        ('version = "1"\n', "[[tool.uv.dependency-metadata]]\nname = 'idna'\nrequires-dist = ['bentoml']\n"),
        ('version = "1"\n', "[tool.uv]\nfind-links = ['wheels']\nenvironments = [\"sys_platform == 'linux'\"]\n"),
        ('version = "1"\noptional-dependencies = {x = ["idna==3.9"], y = ["idna==3.10"]}\n', '[tool.uv]\nconflicts = [[{ extra = "x" }, { extra = "y" }]]\n'),
    ],
)  # fmt: skip
def test_an_implicit_lock_is_the_lock_of_uv(project, index, bento, project_lines, more):
    """uv accepts the lock in the project, and would write the same. A dynamic field needs the back end, in isolation."""
    if "dynamic" in project_lines and (problem := isolation_problem()):
        pytest.skip(problem)
    (project / "wheels").mkdir()
    Maker("idna", "3.9").write(project / "wheels")
    pyproject(project, index, '"idna", "bentoml"', more + "[tool.bentoml.build]\nservice = 'service:Svc'\n")
    text = (project / "pyproject.toml").read_text().replace('version = "1"\n', project_lines)
    (project / "pyproject.toml").write_text(text)
    (project / "back.py").write_text(BACK)
    main(["build"])
    subprocess.run([UV, "lock", "--check"], check=True)
    ours = (project / "uv.lock").read_text()
    (project / "uv.lock").unlink()
    subprocess.run([UV, "lock", "--quiet"], check=True)
    assert body(ours) == (project / "uv.lock").read_text()


def body(lock: str) -> str:
    """The text that uv writes, without the first line of a lock of `bento build`."""
    return lock.partition("\n")[2] if lock.startswith("#") else lock


KINDS = {
    "requirements.lock.txt": lambda project, index, *names: bentofile(project, index, ", ".join(f"'{name}'" for name in names)),
    "uv.lock": lambda project, index, *names: pyproject(project, index, ", ".join(f'"{name}"' for name in ("bentoml==1.4.39", *names))),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_lock_of_a_build_follows_the_requirements(project, index, bento, name, monkeypatch):
    """As `uv run` does: only what must change changes, and a lock of the user stays."""
    for version in ("1", "2"):
        Maker("attrs", version).write(index.links)
    lock, write = project / name, KINDS[name]
    write(project, index, "idna<3.10", "attrs<2")
    bento("build")
    text = lock.read_text()
    bento("build")
    assert "Updated" not in bento.err
    assert lock.read_text() == text
    write(project, index, "idna", "attrs>1")
    monkeypatch.setenv("CI", "1")
    bento("build", code=1)
    assert lock.read_text() == text
    monkeypatch.delenv("CI")
    bento("build")
    assert f"note: Updated the 3 packages in {name}, because the requirements changed. Commit this file." in bento.err
    assert versions(lock) >= {("bentoml", "1.4.39"), ("idna", "3.9"), ("attrs", "2")}
    if name == "requirements.lock.txt":
        bento("build", "--python-version", "3.12")
        assert f"packages in {name}, because the Python version changed from 3.11 to 3.12. Commit" in bento.err
    write(project, index, "idna")
    bento("build")
    assert {name for name, _ in versions(lock)} - {"proj"} == {"bentoml", "idna"}
    for edited in (lock.read_text().replace("3.9", "3.8"), lock.read_text().partition("\n")[2]):
        lock.write_text(edited)
        write(project, index, "idna", "attrs")
        bento("build", code=1)
        assert lock.read_text() == edited
        assert "run `bento lock`" in bento.err


def versions(lock: Path) -> set[tuple[str, str]]:
    return set(re.findall(r'(?m)^(?:name = ")?([a-z]+)(?:==|"\nversion = ")([0-9.]+)', lock.read_text()))


def test_without_uv_it_says_how_to_get_it(project, index, bento, monkeypatch):
    bentofile(project, index)
    monkeypatch.setattr("rules_bento.bentos.packages.uv.find_uv", lambda: None)
    bento("build", code=1)
    assert "Install uv, for example with `pip install uv`. To build without a lock, add --no-lock." in bento.err


def test_the_sbom_of_a_bento_lists_the_locked_packages(project, index, bento):
    bentofile(project, index)
    tag = bento("build", "-o", "ref")
    document = json.loads(bento("sbom", tag))
    assert bento.err == ""
    assert document["metadata"]["component"]["type"] == "application"
    assert f"{document['metadata']['component']['name']}:{document['metadata']['component']['version']}" == tag
    idna = document["components"][1]
    wheel = hashlib.sha256(next(index.links.glob("idna-3.10-*")).read_bytes()).hexdigest()
    assert (idna["purl"], idna["hashes"]) == ("pkg:pypi/idna@3.10", [{"alg": "SHA-256", "content": wheel}])
    assert "licenses" not in idna
    maker = Maker("idna", "3.10")
    maker.files[f"{maker.dist_info}/METADATA"] += b"License-Expression: BSD-3-Clause\n"
    (project / "wheels").mkdir()
    maker.write(project / "wheels")
    licensed = json.loads(bento("sbom", tag, "--wheels", project / "wheels"))["components"]
    assert {each["name"]: each.get("licenses") for each in licensed} == {
        "bentoml": None,
        "idna": [{"expression": "BSD-3-Clause"}],
    }
    assert "contains no wheels" in bento("sbom", tag, "--wheels", index.links.parent / "none", code=1) + bento.err
    packages = json.loads(bento("sbom", tag, "--format", "spdx"))["packages"]
    assert [package["name"] for package in packages] == [tag.partition(":")[0], "bentoml", "idna"]
    tag = bento("build", "--no-lock", "-o", "ref")
    document = json.loads(bento("sbom", tag))
    assert [each["bom-ref"] for each in document["components"]] == ["pkg:pypi/bentoml@1.4.39", "pkg:pypi/idna"]
    assert "note: The Bento's packages aren't locked, so the SBOM omits transitive dependencies." in bento.err


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.13"])
def test_an_inventory_of_a_bento_has_what_uv_installs_for_its_python(project, index, bento, version, tmp_path):
    markers = {
        "old": "python_version < '3.11'", "new": "python_full_version >= '3.12'", "win": "sys_platform == 'win32'",
        "pypy": "implementation_name == 'pypy'", "amd": "platform_machine == 'x86_64'", "extra": "extra == 'x'",
    }  # fmt: skip
    for name in markers:
        Maker(name, "1.0").write(index.links)
    packages = [*(f"{name}==1.0 ; {marker}" for name, marker in markers.items())]
    packages += ["idna==3.9 ; python_version < '3.13'", "idna==3.10 ; python_version >= '3.13'"]
    bentofile(project, index, json.dumps(packages)[1:-1], f"docker:\n  python_version: '{version}'\n")
    tag = bento("build", "-o", "ref")
    bento("export", tag, project / "svc.bento")
    tree = Path(os.environ["BENTOML_HOME"], "bentos", *tag.split(":"))
    command = [UV, "pip", "compile", "--no-index", "--find-links", index.links, "--python-version", version]
    command += ["--python-platform", "x86_64-unknown-linux-gnu", "--no-annotate", "--no-header", "--quiet"]
    lock = subprocess.run([*command, tree / "env/python/requirements.txt"], capture_output=True, text=True, check=True)
    expected = [line.split("==") for line in lock.stdout.splitlines() if "==" in line]
    assert {"bentoml", "amd", "idna"} <= {name for name, _ in expected}
    document = json.loads(bento("sbom", tag))
    assert [[each["name"], each["version"]] for each in document["components"]] == expected
    for target in (tag, project / "svc.bento"):
        bento("report", target, "-o", tmp_path / "report.json")
        report = json.loads((tmp_path / "report.json").read_text())
        assert [[each["name"], each["version"]] for each in report["packages"]] == expected


def test_a_lock_with_a_commit_of_git_has_no_hashes(project, index, bento):
    bentofile(project, index, "'gp @ git+https://git.example/gp'", "  pack_git_packages: false\n")
    commit = f"gp @ git+https://git.example/gp@{'1' * 40}"
    (project / "requirements.lock.txt").write_text(f"bentoml==1.4.39 --hash=sha256:{'0' * 64}\n{commit}\n")
    tag = bento("build", "-o", "ref")
    assert "requirements.lock.txt: gp has no hash, so installations of the Bento verify no hashes." in bento.err
    python = Path(bento("get", tag, "-o", "path")) / "env/python"
    assert f"\nbentoml==1.4.39\n{commit}\n" in (python / "requirements.txt").read_text()
    assert not (python / "requirements.lock.txt").exists()


@pytest.mark.parametrize(
    ("service", "options"),
    [
        (SERVICE.replace("    @", '    model = bentoml.models.BentoModel("gone:latest")\n    @'), ""),
        (SERVICE, "models: [{tag: gone, alias: short}]\n"),
    ],
    ids=["service", "bentofile"],
)
def test_a_lock_does_not_need_the_models(project, index, bento, service, options):
    (project / "service.py").write_text(service)
    bentofile(project, index, more=options)
    bento("lock")
    assert bento.err == "note: Locked 2 packages in requirements.lock.txt. Commit this file.\n"
    bento("build", code=1)
    assert "the model 'gone" in bento.err


def test_spec_1_has_the_lock_too(project, index, bento):
    bentofile(project, index, more="docker:\n  cuda_version: '12'\n")
    tag = bento("build", "-o", "ref")
    path = Path(bento("get", tag, "-o", "path"))
    assert "idna==3.10 \\\n    --hash=sha256:" in (path / "env/python/requirements.lock.txt").read_text()
    assert "lock_packages: true" in (path / "bento.yaml").read_text()


def test_archives_and_layouts_in_the_sources_are_noted(project, bento):
    for name in ("oci-layout", "index.json", "a/oci-layout", "b/oci-layout", "b/index.json", "svc.bento"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("{}")
    bento("build", "--no-lock")
    assert re.findall(r"note: src contains (.*)\n", bento.err) == [
        "b/ (an OCI image layout). To exclude it, add b/ to .bentoignore.",
        "svc.bento (a Bento archive). To exclude it, add svc.bento to .bentoignore.",
    ]
    (project / ".bentoignore").write_text("b/\nsvc.bento\n")
    bento("build", "--no-lock")
    assert "src contains" not in bento.err


def test_a_directory_without_a_service_is_named(project, bento):
    (project / "service.py").unlink()
    bento("build", code=1)
    remedy = (
        "Run the command in the directory of the service, or name it: `bento build DIRECTORY`. For the image of a uv "
        "project without a service, run `bento image`.\n  Otherwise: Set se"
    )
    assert f"{project}: the sources don't contain service.py. {remedy}" in bento.err


def test_the_python_api_uses_the_lock_and_writes_none(project, index, bento):
    """A build by the API has the tag of the command's, and requests nothing from an index."""
    bentofile(project, index)
    made = build_bentofile(build_ctx=project)
    assert not (project / "requirements.lock.txt").exists()
    assert made.notes == (
        "The packages aren't locked, because of the Python API, which only reads locks (`bento lock` writes one): each "
        "installation can get other versions.",
    )
    tag = bento("build", "-o", "ref")
    requests = len(index.seen)
    for made in (build_bentofile(build_ctx=project), build("service:Svc", build_ctx=project, **options_of(project))):
        assert "idna==3.10" in made.bento.files["env/python/requirements.lock.txt"].decode()
    assert str(build_bentofile(build_ctx=project).tag) == tag
    assert len(index.seen) == requests
    bentofile(project, index, "'idna<3.10'")
    with pytest.raises(BentoError, match="the lock doesn't satisfy 'idna<3.10'. To update the lock, run `bento lock`"):
        build_bentofile(build_ctx=project)


def options_of(project):
    return {"python": yaml.safe_load((project / "bentofile.yaml").read_text())["python"]}
