"""What run targets do with a Bento that was built: the commands of `bento`, with nothing left behind."""

from __future__ import annotations

import subprocess
import tempfile
from types import SimpleNamespace

import pytest
from bento_cli.library import Store
from bento_cli.programs import serve
from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import decode
from rules_bento.bentos.packages.uv import CACHE_FIRST, Run, checked, start

from tests.helpers.store_support import bento_files, tree, write_archive
from tests.sharing.support import CLF, own_home

__all__ = ["own_home"]


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A built Bento, in a workspace whose folder `here` Bazel was started from; the caller's store is `home`."""
    (tmp_path / "here").mkdir()
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("BUILD_WORKING_DIRECTORY", str(tmp_path / "here"))
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    monkeypatch.chdir(tmp_path)
    yield write_archive(tmp_path / "x_bento.bento", bento_files("hi:v1", models=CLF))
    assert list((tmp_path / "scratch").iterdir()) == []


def run(archive, *words):
    words = ["--target", "//:t", "--archive", str(archive), "--uv", "uv", "--python", "p", "--", *words]
    return serve.run(decode(serve.run, words))


def test_an_export_is_where_the_caller_says(archive, tmp_path, capsys):
    assert run(archive, "export", "hi.tar", "--no-models") == 0
    assert (tmp_path / "here/hi.tar").is_file()
    assert "with" not in capsys.readouterr().out
    assert run(archive, "export", "other", "--format", "folder") == 0
    assert (tmp_path / "here/other/models/clf/v1/model.yaml").is_file()


def test_an_import_is_into_the_store_of_the_caller(archive, tmp_path):
    assert run(archive, "import", "--no-sync") == 0
    assert [str(entry.tag) for entry in Store(tmp_path / "home").bentos.list()] == ["hi:v1"]
    assert run(archive, "import") == 0, "the same is there"


def test_a_push_goes_where_the_caller_says(archive, tmp_path, reference):
    assert run(archive, "push", f"oci://{reference}:one") == 0
    other = Store(tmp_path / "other", durable=False)
    other.bentos.pull(f"oci://{reference}:one")
    assert tree(other.bentos.get("hi:v1").path)
    assert not (tmp_path / "home").exists()


def test_contexts_of_clouds_are_those_of_the_caller(archive, stub, tmp_path, capfd):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.yatai.yaml").write_text("contexts: []\n")
    assert run(archive, "push", "--context", "default") == 7
    said = capfd.readouterr()
    assert said.out.startswith(f"push hi:v1 --context default HOME={tmp_path}/scratch/")
    assert said.err == "contexts: []\n"


def test_a_containerization_has_the_context(archive, tmp_path, monkeypatch):
    program = tmp_path / "bin/podman"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nfor last in "$@"; do :; done\nls "$last" > {tmp_path}/seen\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    assert run(archive, "containerize", "--backend", "podman") == 0
    assert (tmp_path / "seen").read_text().split() == ["README.md", "bento.yaml", "env", "hf-models", "models", "src"]


def test_other_commands_are_rejected(archive, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("this serves"))
    with pytest.raises(pytest.fail.Exception):
        run(archive, "serve", "--port", "1")
    with pytest.raises(BentoError, match="unknown command"):
        serve.deliver(archive, "delete", [])


def test_uv_uses_the_certificates_of_the_system_if_it_knows_no_other(tmp_path, capfd):
    """With a company's proxy. The real uv does so in `tests/packages/test_update.py`."""
    uv = tmp_path / "uv"
    failure = "echo 'error: Failed to fetch' >&2\necho '  Caused by: invalid peer certificate: {}' >&2\nexit 2\n"
    accept = 'case " $* " in *" --system-certs "*) echo "$@" | tee -a "$0.log"; exit 0 ;; esac\n'
    (tmp_path / "bento/src").mkdir(parents=True)
    request = SimpleNamespace(uv=str(uv), target="//:t", python="p")
    uv.write_text(f"#!/bin/sh\n{accept}{failure.format('UnknownIssuer')}")
    uv.chmod(0o755)
    serve._install(request, tmp_path / "bento", tmp_path / "environment")
    assert [line.split()[0] for line in (tmp_path / "uv.log").read_text().splitlines()] == ["venv", "pip"]
    assert capfd.readouterr() == ("", "Installing the packages of //:t\n")
    shown = checked(start(Run([str(uv), "pip", "compile"], attempts=CACHE_FIRST)))
    assert [shown.split()[0], shown.split()[-1]] == ["pip", "--system-certs"]
    uv.write_text(f"#!/bin/sh\n{accept}{failure.format('Expired')}")
    with pytest.raises(BentoError, match=r"uv can't install the packages \(see above\)"):
        serve._install(request, tmp_path / "bento", tmp_path / "environment")
    assert "Expired" in capfd.readouterr().err
    with pytest.raises(BentoError, match="Expired"):
        checked(start(Run([str(uv), "pip", "compile"], attempts=CACHE_FIRST)))
