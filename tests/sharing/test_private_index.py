"""Build requirements of `bento image` come from a private index, with the logins that the user gives. Real uv."""

import os
import re
import sys
from pathlib import Path

import pytest
from bento_cli.projects.uv_project import UvProject
from bento_cli.sharing.native_packages import LocalWheel, download
from bento_cli.sharing.native_wheel import _FLAGS, _lock, _write_settings
from bento_cli.transports.address import RefusedError
from rules_bento.base.errors import BentoError
from rules_bento.base.net.transfers import Progress

from tests.packages.metadata_index import Index, package, serve

UV = os.environ["RULES_BENTO_UV"]
PROJECT = """\
[project]
name = "p"
version = "1"
requires-python = ">=3.9"
[build-system]
requires = ["back"]
build-backend = "back"
[[tool.uv.index]]
name = "corp"
url = "{}"
default = true
"""
FILE = "back-1.0-py3-none-any.whl"
LOCK = 'version = 1\nrequires-python = ">=3.9"\n[[package]]\nname = "p"\nversion = "1"\nsource = { editable = "." }\n'


@pytest.fixture
def index():
    index = Index([package("back", "1.0")])
    index.credentials = "alice:s3cret"
    return index


@pytest.fixture
def lock(tmp_path, monkeypatch, index):
    """Return a function that locks the build requirements of a project, whose index requires a login."""
    for name in [name for name in os.environ if name.startswith("UV_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("NETRC", raising=False)
    (tmp_path / "p").mkdir()
    (tmp_path / "p/uv.lock").write_text(LOCK)
    with serve(index) as address:
        (tmp_path / "p/pyproject.toml").write_text(PROJECT.format(address))

        def run(name="back"):
            (tmp_path / "p/pyproject.toml").write_text(PROJECT.format(address).replace('"back"]', f'"{name}"]'))
            project = UvProject.read(tmp_path / "p", "")
            (tmp_path / "scratch/uv").mkdir(parents=True, exist_ok=True)
            indexes = _write_settings(project, tmp_path / "scratch")
            command = [str(Path(UV).absolute()), "pip", "compile", "--python", sys.executable, *_FLAGS]
            return _lock(project, tmp_path / "scratch", command, indexes)[0]

        run.address, run.sha256, run.project = address, index.sha256(FILE), tmp_path / "p"
        yield run


def test_a_login_of_netrc_is_for_build_requirements_too(lock, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login alice password s3cret\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert 'name = "back"' in lock()
    (tmp_path / ".netrc").write_text("default login alice password s3cret\n")
    (tmp_path / "cache").rename(tmp_path / "before")
    with pytest.raises(BentoError):  # not for a host that the project chooses
        lock()


def test_metadata_of_a_build_requirement_sends_no_variable(lock, monkeypatch, index):
    other = Index([])
    with serve(other) as strange:
        index.add(package("evil", "1.0", f"b @ {strange}/${{UV_INDEX_CORP_PASSWORD}}/${{HOME}}/b-1.0-py3-none-any.whl"))
        index.credentials = ""
        monkeypatch.setenv("UV_INDEX_CORP_PASSWORD", "s3cret")
        with pytest.raises(BentoError) as error:
            lock("evil")
    assert "s3cret" not in str(error.value)
    assert os.environ["HOME"] not in str(error.value).replace(str(lock.project), "")
    assert other.requests == []


def test_the_variables_in_the_message_work(lock, monkeypatch):
    for name, value in (("USERNAME", "alice"), ("PASSWORD", "s3cret")):
        monkeypatch.setenv(f"UV_INDEX_CORP_{name}", value)
    with pytest.raises(BentoError) as error:  # the project alone gives the name an address
        lock()
    name, value = re.search(r"set (\w+)=(corp=\S+), UV_INDEX_CORP_USERNAME", str(error.value)).groups()
    monkeypatch.setenv(name, value)
    assert 'name = "back"' in lock()


@pytest.mark.parametrize("form", ["variables", "address", "default"])
def test_a_login_of_an_index_is_for_its_wheels_too(form, lock, monkeypatch, tmp_path):
    """uv sends the login of an index to all files on the server."""
    address = lock.address
    url = f"{address.removesuffix('simple')}files/{FILE}"
    wheel = LocalWheel("back", "1.0", tmp_path / FILE, lock.sha256, url)
    monkeypatch.setenv("UV_INDEX", f"corp={address.replace('127.0.0.1', 'localhost')}")
    with pytest.raises(RefusedError, match="401"):
        download([wheel], Progress())  # the index has no login
    secret = address.replace("//", "//alice:s3cret@")
    variables = {
        "variables": {
            "UV_INDEX": f"corp={address}",
            "UV_INDEX_CORP_USERNAME": "alice",
            "UV_INDEX_CORP_PASSWORD": "s3cret",
        },
        "address": {"UV_INDEX": f"corp={secret}"},
        "default": {"UV_DEFAULT_INDEX": secret},
    }[form]
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("127.0.0.1", "localhost"))
    with pytest.raises(RefusedError, match="401"):
        download([wheel], Progress())  # the login is for another server
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    download([wheel], Progress())
