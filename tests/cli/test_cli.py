"""The `bento` command: what it prints, beside what `bentoml` prints, and what it exits with."""

from __future__ import annotations

import datetime as dt
import fcntl
import io
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import termios
from pathlib import Path

import pytest
import yaml
from bento_cli.cli import main, show, status
from bento_cli.cli.groups import COMMANDS
from bento_cli.cli.usage import COUNTERPARTS
from bento_cli.library import Store
from bento_cli.programs.bento_command import run as run_command
from bento_cli.projects.from_directory import CREATION_TIME, build_bentofile
from click.shell_completion import get_completion_class
from rules_bento.base.programs import which
from rules_bento.base.subcommand_arguments import decode

from tests.helpers.projects import write_project
from tests.helpers.store_support import (
    DAY_1,
    DAY_2,
    PACKAGE,
    bento_files,
    bento_yaml,
    command,
    model_files,
    tree,
    write_archive,
)

MODELS = {"clf:v1": model_files(), "clf:v2": model_files("clf:v2", DAY_2)}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A store with two Bentos, which is the default one; the archives are beside it, in the current folder."""
    directory = tmp_path / "home"
    store = Store(directory, durable=False)
    write_archive(tmp_path / "v1.bento", bento_files("hi:v1", DAY_1, {"clf:v1": MODELS["clf:v1"]}))
    write_archive(tmp_path / "v2.bento", bento_files("hi:v2", DAY_2, MODELS, src__new=b"new" * 1000))
    write_archive(tmp_path / "clf.bentomodel", model_files("clf:v3"))
    for name in "v1.bento", "v2.bento":
        store.bentos.import_archive(tmp_path / name)
    monkeypatch.setenv("BENTOML_HOME", str(directory))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.chdir(tmp_path)
    return directory


@pytest.fixture
def bento(home, capsys):
    """Runs a command; gives its standard output, which must be all there is."""

    def run(*arguments, code=0):
        found = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert found == code, (out, err)
        run.err = err
        return out

    return run


# ---- Listing and showing ----------------------------------------------------------------------------------------


def test_list_is_a_table_for_users(bento):
    lines = bento("list").splitlines()
    assert lines[0].split("  ")[0] == "Tag"
    assert [line.split()[0] for line in lines[1:]] == ["hi:v2", "hi:v1"]
    assert re.search(r"\d+\.\d\d KiB +\d+\.\d\d KiB  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", lines[1])
    assert bento("list", "hi:v1", "-o", "path") == f"{Path.cwd()}/home/bentos/hi/v1\n"
    assert bento("list", "-o", "yaml").startswith("- tag: hi:v2\n")


def test_options_of_all_commands(bento):
    assert bento("help", "models") == bento("models", "--help")
    assert bento("help", "list") == bento("list", "--help")
    assert "Examples:\n  bento list\n" in bento("help", "list")
    assert bento("-V") == bento("--version") == bento("version")
    assert bento("version").startswith("bento ")
    assert "\x1b[" in bento("--color", "always", "verify")
    assert "\x1b[" not in bento("verify", "--color=never")
    show.note("seen")
    bento("-q", "list")
    show.note("hidden")
    bento("list")
    bento("list", "--nothing", code=status.USAGE)
    assert bento.err == "bento list: no such option '--nothing'. For all options, run `bento list --help`.\n"


def test_a_home_that_does_not_exist_is_empty(bento, tmp_path):
    assert bento("--home", tmp_path / "nothing", "list", "-o", "json") == "[]\n"
    assert bento("list", "--home", tmp_path / "nothing", "-o", "path") == ""
    assert bento(f"--home={tmp_path / 'nothing'}", "models", "list").split()[0] == "Tag"
    assert not (tmp_path / "nothing").exists()
    bento("list", "hi", "--home", tmp_path / "nothing", code=status.NOT_FOUND)


def test_lists_are_those_of_bentoml(real, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BENTOML_HOME", str(real.home))
    store = Store(real.home, durable=False)
    huggingface = {"tag": "org--model:abc", "registry": "huggingface"}
    path = write_archive(tmp_path / "a.bento", bento_files("hi:v1", DAY_1, MODELS))
    store.bentos.import_archive(path)
    for number, fields in enumerate((
        {"creation_time": "2026-03-01T05:06:07.123456+09:00"},
        {"models": [{"tag": "clf:v1"}, {"tag": "gone:v1"}, huggingface]},
        {"services": [{"name": "Hi", "service": "", "models": [{"tag": "clf:v2"}, {"tag": "clf:v1"}]}]},
        {"models": ["clf"]},
        {"spec": 1, "labels": {"a": 1}, "docker": {"distro": "debian", "cuda_version": 12}},
        {"creation_time": DAY_1},
    )):  # fmt: skip
        directory = tmp_path / f"{number}"
        shutil.copytree(store.bentos.get("hi:v1").path, directory)
        (directory / "bento.yaml").unlink()
        (directory / "bento.yaml").write_bytes(
            yaml.safe_dump(yaml.safe_load(bento_yaml(f"ho:w{number}", DAY_2)) | fields, sort_keys=False).encode()
        )
        (directory / "src/link").symlink_to("package/data.csv")
        (directory / "src/folder").symlink_to("package")
        (directory / "src/dangling").symlink_to("nothing")
        store.bentos.import_archive(directory)
    # What a Bento has itself is not counted twice.
    shutil.copytree(real.home / "models", real.home / "bentos/ho/w3/models")
    for words in (["list"], ["list", "ho"], ["list", "ho:w1"], ["models", "list"], ["models", "list", "clf"]):
        assert main([*words, "-o", "json"]) == 0
        ours = json.loads(capsys.readouterr().out)
        for row in ours:  # BentoML has no bytes and no zone
            assert {row.pop(key, "") for key in ("size_bytes", "model_size_bytes", "created_at")}
        assert ours == real.json(*words), words
        assert [list(row) for row in ours] == [list(row) for row in real.json(*words)]
    for words in [["get", f"ho:w{number}"] for number in range(6)] + [["get", "hi"], ["models", "get", "clf:v2"]]:
        assert main([*words, "-o", "json"]) == 0
        ours, theirs = json.loads(capsys.readouterr().out), real.json(*words)
        for reference in ours.get("models", []) + theirs.get("models", []):
            reference["creation_time"] = ""  # BentoML takes the clock where none is given
        for service in ours.get("services", []) + theirs.get("services", []):
            service["models"] = [model["tag"] for model in service["models"]]
        assert ours == theirs
        assert list(ours) == list(theirs)
    assert main(["get", "hi", "-o", "path"]) == 0
    assert capsys.readouterr().out == real.run("get", "hi", "-o", "path")
    assert main(["get", "hi:v1"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == yaml.safe_load(real.run("get", "hi:v1"))


def test_a_missing_model_is_reported(bento, home):
    shutil.rmtree(home / "models/clf/v2")
    bento("list")
    assert "hi:v2: the model clf:v2 isn't in the store." in bento.err
    assert (
        json.loads(bento("tree", "hi:v2", "-o", "json"))["children"][-1]["children"][0]["children"][1]["note"]
        == "missing"
    )


def test_tree(bento):
    out = bento("tree", "hi:v1")
    assert "├── env/" in out
    assert re.search(r"entrypoint.sh  \d+\.00 B  executable", out)
    assert "in the model store" in out
    total = json.loads(bento("tree", "hi:v1", "-o", "json"))["size"]
    assert total == sum(map(len, bento_files("hi:v1", DAY_1, {"clf:v1": MODELS["clf:v1"]}).values())) - len("v1")
    archive = json.loads(bento("tree", "v1.bento", "-o", "json"))
    assert archive["size"] == total + len("v1"), "the pointer"
    assert yaml.safe_load(bento("tree", "./v1.bento", "-o", "yaml")) == archive | {"name": "v1.bento"}


def test_directories_may_be_deep_but_not_without_end(bento, home, tmp_path):
    deepest = "d/" * 100 + "f"
    path = home / "bentos/hi/v1" / deepest
    path.parent.mkdir(parents=True)
    path.write_text("")
    for words in (["-o", "text"], ["-o", "json"], ["-o", "yaml"]):
        assert bento("tree", "hi:v1", *words).count("d") >= 100
    bento("export", "hi:v1", str(tmp_path / "deep.bento"), "--no-verify")
    assert bento("tree", str(tmp_path / "deep.bento"))
    deeper = path.parent
    for _ in range(500):
        deeper = deeper / "e"
        deeper.mkdir()
    (deeper / "f").write_text("")
    bento("tree", "hi:v1", code=status.ERROR)
    assert "the path has more than 100 nested directories" in bento.err
    for out in ("deeper.bento", "deeper.zip"):
        bento("export", "hi:v1", str(tmp_path / out), "--no-verify", code=status.ERROR)
        assert "the path has more than 100 nested directories" in bento.err
        assert not (tmp_path / out).exists()


def test_get_resolves_as_bentoml_does(bento):
    assert yaml.safe_load(bento("get", "hi"))["version"] == "v2"
    assert json.loads(bento("get", "hi:v1", "-o", "json"))["version"] == "v1"
    bento("get", "hi:", code=status.ERROR)
    bento("get", "hi:v", code=status.ERROR)
    assert "multiple versions match: v1, v2" in bento.err
    bento("get", "nothing", code=status.NOT_FOUND)
    assert bento.err.startswith("bento: nothing: ")
    assert " contains no Bento with this name. To list" in bento.err
    bento("list", "hi:zzz", code=status.NOT_FOUND)
    assert bento.err.startswith("bento: hi:zzz: ") and " contains no Bento with this tag. To list" in bento.err
    assert bento("list", "hi:v1", "-o", "path").endswith("/hi/v1\n")


# ---- Import, export, layouts ------------------------------------------------------------------------------------


def test_import_and_export(bento, home, tmp_path):
    assert bento("--home", "other", "import", "v1.bento", "./v2.bento") == (
        "Imported Bento hi:v1 with clf:v1.\nImported Bento hi:v2 with clf:v2 (already present: clf:v1).\n"
    )
    assert Path("other/bentos/hi/v1").is_dir(), "relative paths are relative to the current folder"
    found = json.loads(
        bento("import", "v1.bento", "--home", "third", "--no-models", "--copy", "--no-sync", "-o", "json")
    )
    assert found == {
        "tag": "hi:v1",
        "path": f"{tmp_path}/third/bentos/hi/v1",
        "new": True,
        "models": [],
        "known_models": [],
        "notes": [],
    }
    assert Path("third/bentos/hi/v1/README.md").stat().st_nlink == 1
    assert bento("import", "v1.bento") == "Bento hi:v1 is already in the store.\n"
    assert bento("import", "v1.bento", "-o", "path") == f"{tmp_path}/home/bentos/hi/v1\n"
    with tarfile.open("other.tar", "w") as archive:  # the same tag, and one more file
        with tarfile.open("v1.bento") as original:
            for member in original:
                archive.addfile(member, original.extractfile(member) if member.isfile() else None)
        archive.addfile(tarfile.TarInfo("src/more.py"), io.BytesIO())
    bento("import", "other.tar", code=status.ERROR)
    assert bento.err == "bento: other.tar: the store contains another Bento hi:v1. To replace it, add --force.\n"
    assert bento("import", "v1.bento", "--force").startswith("Imported Bento hi:v1")
    assert bento("export", "hi:v1") == "Exported Bento hi:v1 with clf:v1 to hi-v1.bento.\n"
    assert bento("export", "hi", "out.tar", "--no-models", "-o", "path") == "out.tar\n"
    assert (
        bento("export", "hi:v2", "--format", "gz", "out.x", "--no-verify")
        == "Exported Bento hi:v2 with clf:v1, clf:v2 to out.x.\n"
    )
    assert json.loads(bento("export", "hi:v1", "-o", "json", "named"))["path"] == f"{tmp_path}/named.bento"
    bento("export", "hi:v1", "--no-clobber", code=status.ERROR)
    assert bento.err == "bento: hi-v1.bento: the path already exists. Specify another path, or remove --no-clobber.\n"
    bento("export", "hi:v1", "s3://bucket/hi.bento", "--no-clobber", code=status.ERROR)
    for url in "memory://hi.bento", "MEMORY://a/":
        bento("export", "hi:v1", url, code=status.ERROR)
        assert f"bento: {url}: the archive would exist only until this command ends. Export to a file" in bento.err
    assert bento("export", "hi:v1", "absent", "--no-clobber", "-o", "path") == "absent.bento\n"
    bento("import", "out.x", "--home", "fourth", code=status.ERROR)
    assert "the file name implies xz data, but the file contains gz data" in bento.err
    assert (
        bento("import", "out.x", "--format", "gz", "--home", "fourth", "-o", "path")
        == f"{tmp_path}/fourth/bentos/hi/v2\n"
    )
    assert tree(tmp_path / "fourth/bentos") == {
        path: data for path, data in tree(home / "bentos").items() if not path.startswith("hi/v1/")
    } | {"hi/latest": (b"v2", False)}
    Path("folder").mkdir()
    assert bento("export", "hi:v1", "folder", "--format", "zip", "-o", "path") == "folder/hi-v1.zip\n"
    assert bento("export", "hi:v1", "folder/", "-o", "path") == "folder/hi-v1.bento\n"
    bento("export", "hi:v1", "no/folder", code=status.ERROR)
    assert bento.err == "bento: no/folder.bento: the directory no doesn't exist. Create the directory.\n"
    bento("get", "hii:v1", code=status.NOT_FOUND)
    assert "contains no Bento with this tag (did you mean hi?). To list the available tags" in bento.err
    bento("push", "localhost:5000/hi:v1", code=status.ERROR)
    assert bento.err.endswith("is missing. Use `bento push BENTO localhost:5000/hi:v1`.\n")
    bento("export", "hi:v1", "folder", "--format", "folder", code=status.ERROR)
    bento("export", "hi:v1", "tree", "--format", "folder")
    assert json.loads(bento("import", "tree", "--home", "fifth", "-o", "json"))["models"] == ["clf:v1"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_models(bento):
    assert bento("models", "import", "clf.bentomodel") == "Imported model clf:v3.\n"
    assert [row["tag"] for row in json.loads(bento("models", "list", "-o", "json"))] == ["clf:v2", "clf:v1", "clf:v3"]
    assert bento("models", "export", "clf:v3", "m.tar") == "Exported model clf:v3 to m.tar.\n"
    assert bento("models", "delete", "clf:v3", "-y") == "Deleted model clf:v3.\n"
    bento("models", "delete", "clf:v1", "-y", code=status.ERROR)
    assert "clf:v1: the model is in use by hi:v1, hi:v2." in bento.err
    assert bento("models", "delete", "clf:v1", "-y", "--force", "-o", "json") == '[\n  "clf:v1"\n]\n'
    bento("models", "import", "v1.bento", code=status.ERROR)
    assert "model.yaml isn't at the top level" in bento.err
    bento("import", "m.tar", code=status.ERROR)


def test_layouts(bento, home):
    assert (
        bento("push", "hi:v1", "hi:v2", "oci:all") == "Pushed Bento hi:v1 to oci:all.\nPushed Bento hi:v2 to oci:all.\n"
    )
    [pushed] = json.loads(bento("push", "hi:v1", "oci-archive:one.tar", "-o", "json"))
    assert (pushed["tag"], pushed["layout"]) == ("hi:v1", "oci-archive:one.tar")
    imported = "Imported Bento hi:v1 with clf:v1.\nImported Bento hi:v2 with clf:v2 (already present: clf:v1).\n"
    for source in "oci:all", "all":
        assert bento("import", source, "--home", f"of {source}") == imported
    assert bento("pull", "oci:all", "--home", "other") == imported.replace("Imported", "Pulled")
    assert bento("pull", "oci-archive:one.tar", "--home", "other") == "Bento hi:v1 is already in the store.\n"
    assert bento("import", "one.tar", "--home", "third", "-o", "path") == f"{Path.cwd()}/third/bentos/hi/v1\n"
    assert bento("models", "push", "clf:v1", "oci:models") == "Pushed model clf:v1 to oci:models.\n"
    assert bento("models", "pull", "oci:models", "--home", "fourth") == "Pulled model clf:v1.\n"
    bento("models", "pull", "oci:all", "--home", "fourth", code=status.ERROR)
    assert "oci:all: the layout contains no model. To pull Bentos, use `bento pull`." in bento.err
    bento("push", "hi:v1", "oci:all", "--sign-keyless", code=status.ERROR)
    assert "--sign-keyless require a registry" in bento.err
    bento("push", "hi:v1", "hi:v7", "oci:all", code=status.NOT_FOUND)
    bento("import", "one.tar", "--sha256", "0" * 64, code=status.ERROR)
    assert "supported only for URLs" in bento.err


def test_limits_are_options(bento):
    bento("import", "v1.bento", "--home", "other", "--max-size", "1K", code=status.ERROR)
    assert "increase the limit" in bento.err
    bento("import", "v1.bento", "--home", "other", "--max-files", "3", code=status.ERROR)
    bento("import", "v1.bento", "--home", "other", "--max-memory", "100", code=status.ERROR)
    bento("import", "v1.bento", "--home", "other", "--max-size", "x", code=status.USAGE)
    bento("import", "v1.bento", "--home", "other", "--max-size", "1G", "--max-ratio", "9", "--same-letters")


# ---- Deleting, verifying, comparing -----------------------------------------------------------------------------


def test_delete_asks(bento, monkeypatch):
    bento("delete", "hi:v1", code=status.ERROR)
    assert "Add --yes" in bento.err
    bento("delete", "hi:v3", "--yes", code=status.NOT_FOUND)

    class Terminal:
        def isatty(self):
            return True

        def readline(self):
            return answers.pop(0)

    answers = ["n\n", "y\n"]
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert bento("delete", "hi:v1,hi:v2") == "Deleted Bento hi:v2.\n"
    assert "Delete Bento hi:v1? [y/N]" in bento.err
    assert bento("delete", "hi", "-y", "-o", "yaml") == "- hi:v1\n"
    assert bento("list", "-o", "json") == "[]\n"


def test_verify_and_gc(bento, home):
    assert bento("verify") == "4 entries, 21 files: nothing damaged.\n"
    assert bento("verify", "hi:v1") == "2 entries, 10 files: nothing damaged.\n"
    place = home / "bentos/hi/v2/src/new"
    place.chmod(0o644)
    place.write_bytes(b"x" * place.stat().st_size)
    out = bento("verify", "-o", "json", code=status.FOUND)
    assert json.loads(out)["damages"] == [
        {"kind": "Bento", "tag": "hi:v2", "path": "src/new", "problem": "the contents changed"}
    ]
    assert "damaged  Bento hi:v2: src/new: the contents changed" in bento("verify", "hi:v2", code=status.FOUND)
    assert bento("verify", "hi:v1")
    bento("export", "hi:v2", "x.bento", code=status.ERROR)
    assert bento("export", "hi:v2", "x.bento", "--no-verify")
    shutil.rmtree(home / "bentos/hi/v2")
    assert bento("gc", "-n").startswith("Would remove 2 files (")
    assert json.loads(bento("gc", "-o", "json"))["records"] == 1
    shutil.copytree(home / "bentos/hi/v1", home / "bentos/hi/own", copy_function=shutil.copy)
    (home / "bentos/hi/own/bento.yaml").write_bytes(bento_yaml("hi:own"))
    assert "not checked  hi:own: the store has no digests of its files, because BentoML saved it\n4 entries, " in bento(
        "verify"
    )
    assert bento("verify", "--strict", code=status.FOUND).endswith(": nothing damaged, 1 not checked.\n")
    (home / "bentos/hi/v1/added").touch()
    assert "changed  Bento hi:v1: added: was added" in bento("verify")


def test_packages_without_hashes_are_found(bento, home):
    """In Bentos of the store, and in archives: neither a hash nor a commit is in the Bento's own requirements."""
    assert bento("verify", "--require-hashes").endswith(": nothing damaged.\n")
    place = home / "bentos/hi/v1/env/python/requirements.txt"
    lines = [f"idna==3.10 --hash=sha256:{'0' * 64}", f"gp @ git+https://host/gp@{'1' * 40}", "numpy==2.4.2", "six"]
    text = "\n".join([*lines, "other==1 ; python_version < '3'", ""])
    place.parent.mkdir(parents=True, exist_ok=True)
    place.parent.chmod(0o755)
    place.unlink(missing_ok=True)
    place.write_text(text)
    told = bento("verify", "hi:v1", "--require-hashes", code=status.FOUND)
    where = "Bento hi:v1: env/python/requirements.txt"
    assert [line for line in told.splitlines() if line.startswith("not pinned")] == [
        f"not pinned  {where}: numpy 2.4.2 has no hash",
        f"not pinned  {where}: six has no hash",
    ]
    assert bento("verify", "--require-hashes", code=status.FOUND).count("not pinned") == 2
    bento("export", "hi:v1", "new.bento", "--no-verify")
    found = json.loads(bento("verify", "./new.bento", "--require-hashes", "-o", "json", code=status.FOUND))
    assert [each["problem"] for each in found["unhashed"]] == ["numpy 2.4.2 has no hash", "six has no hash"]
    assert json.loads(bento("verify", "./new.bento", "-o", "json"))["unhashed"] == []
    bento("verify", "-", "--require-hashes", code=status.ERROR)
    assert "--require-hashes can't be combined with a signer or standard input." in bento.err


def test_archives_are_verified(bento):
    assert bento("verify", "v1.bento", "./v2.bento") == "2 entries, 15 files: nothing damaged.\n"
    data = bytearray(Path("v1.bento").read_bytes())
    data[300] ^= 1
    Path("v1.bento").write_bytes(data)
    assert "damaged  archive v1.bento: the xz data is damaged" in bento("verify", "v1.bento", code=status.FOUND)


def test_diff(bento):
    assert bento("diff", "hi:v1", "v1.bento") == ""
    out = bento("diff", "hi:v1", "hi:v2", code=status.FOUND)
    assert "~ version = 'v1' -> 'v2'\n" in out
    assert "\n+ models[1].tag = 'clf:v2'\n" in out
    assert "+ model clf:v2\n" in out
    assert "+ src/new  2.93 KiB\n" in out
    assert "~ src/package/data.csv  1.37 KiB -> 1.37 KiB\n" in out
    found = json.loads(bento("diff", "v2.bento", "hi:v1", "-o", "json", code=status.FOUND))
    assert found["models"] == {"added": [], "removed": ["clf:v2"]}
    assert found["files"]["removed"] == [{"path": "src/new", "size": 3000}]
    bento("diff", "hi:v1", "./nothing", code=status.ERROR)


LOCKS = {
    "old": "bentoml==1.4.39\nnumpy==2.4.6 ; python_full_version >= '3.11'\nnumpy==2.5.5 ; python_full_version < '3.11'\nsix==1.0\n",
    "new": "bentoml==1.4.39\nnumpy==2.5.5\nscikit-learn==1.9.1 \\\n    --hash=sha256:00\n",
}


@pytest.mark.parametrize("is_archive", [False, True])
def test_diff_lists_packages(bento, tmp_path, is_archive):
    """A line for each package that the Bento installs, instead of the lock in bento.yaml."""
    for version, lock in LOCKS.items():
        image = {"base_image": "", "python_version": "3.11", "python_requirements": lock}
        files = bento_files(f"p:{version}") | {"env/python/requirements.txt": lock.encode()}
        write_archive(tmp_path / f"{version}.bento", files | {"bento.yaml": bento_yaml(f"p:{version}", image=image)})
        bento("import", f"{version}.bento")
    names = ["old.bento", "new.bento"] if is_archive else ["p:old", "p:new"]
    out = bento("diff", *names, code=status.FOUND)
    lines = "~ numpy 2.4.6 -> 2.5.5\n+ scikit-learn 1.9.1\n- six 1.0\n"
    assert lines in out
    assert "python_requirements" not in out
    found = json.loads(bento("diff", *names, "--json", code=status.FOUND))
    assert [each["name"] for each in found["packages"]] == ["numpy", "scikit-learn", "six"]
    assert "image.python_requirements" in {each["field"] for each in found["fields"]}


def test_diff_shows_where_long_values_differ(bento, tmp_path):
    for version in "v1", "v2":
        text = bento_yaml(f"p:{version}", labels={"note": "same " * 40 + version})
        write_archive(tmp_path / f"{version}.bento", bento_files(f"p:{version}") | {"bento.yaml": text})
    out = bento("diff", "v1.bento", "v2.bento", code=status.FOUND)
    assert "~ labels.note = ...ame same same same v1' -> ...ame same same same v2'\n" in out


# ---- Building ---------------------------------------------------------------------------------------------------

BENTOFILE = 'service: "service:Svc"\nlabels: {owner: file}\nargs: {x: 1}\n'
SERVICE = "import bentoml\n\n\n@bentoml.service\nclass Svc:\n    pass\n"


@pytest.fixture
def project(home, tmp_path):
    return write_project(tmp_path / "project", {"files": {"bentofile.yaml": BENTOFILE}}, SERVICE)


def test_build_keeps_a_bento_in_the_store(bento, home, project):
    [tag] = re.findall(r"^__tag__:(svc:[a-z2-7]{32})\n$", bento("build", project, "-o", "tag"))
    assert bento("list", "svc", "-o", "path") == f"{home}/bentos/{tag.replace(':', '/')}\n"
    assert bento("build", project, "-o", "ref") == f"{tag}\n"
    assert bento("list", "--json") == bento("list", "-o", "json")
    assert bento("build", project) == f"Built {tag} (already in the store).\n"
    assert json.loads(bento("build", project, "-o", "json")) == {
        "tag": tag,
        "digest": f"blake3:{build_bentofile(build_ctx=project).bento.digest.hex()}",
        "path": f"{home}/bentos/{tag.replace(':', '/')}",
    }


def test_build_writes_an_archive(bento, home, project, tmp_path):
    out = tmp_path / "out.bento"
    words = ("--archive", out, "--creation-time", CREATION_TIME)
    assert re.fullmatch(rf"Built svc:\w+ at {out}.\n", bento("build", project, *words))
    assert out.read_bytes() == build_bentofile(build_ctx=project).archive(tmp_path / "other").read_bytes()
    assert not (home / "bentos/svc").exists()


def test_build_tells_of_patterns_that_match_nothing(bento, project):
    text = (project / "bentofile.yaml").read_text()
    (project / "bentofile.yaml").write_text(f"{text}include: [service.py, servise.py]\n")
    assert bento("build", project, "--version", "v1") == "Built svc:v1.\n"
    line = len(text.splitlines()) + 1
    assert f"bentofile.yaml:{line}: include[1]: 'servise.py' matches no file in the project." in bento.err
    assert "Did you mean 'service.py'?" in bento.err


def test_build_options_win_over_the_bentofile(bento, project):
    Path("args.yaml").write_text("x: 2\ny: [1]\n")
    words = ["--name", "own", "--version", "v1", "--label", "owner=me", "--arg-file", "args.yaml", "--arg", "z=a=b"]
    assert bento("build", project, *words, "--enable-features", "io,grpc") == "Built own:v1.\n"
    document = yaml.safe_load(bento("get", "own:v1"))
    assert document["labels"] == {"owner": "me"}
    assert document["args"] == {"x": 2, "y": [1], "z": "a=b"}
    assert document["image"]["python_requirements"] == "bentoml[grpc,io]==1.4.39\n"
    bento("build", project, *words, code=status.ERROR)
    assert "own:v1 is already in the store" in bento.err


def built_at(bento, project, *words):
    """The digest of what is built, and the time that it says."""
    made = json.loads(bento("build", project, "-o", "json", "--no-sync", *words))
    [entry] = json.loads(bento("list", made["tag"], "-o", "json"))
    document = yaml.safe_load(Path(made["path"], "bento.yaml").read_text())
    bento("delete", "-y", made["tag"])
    return made["tag"], made["digest"], document["creation_time"], entry["creation_time"]


def test_build_says_when_and_its_identity_does_not(bento, project, monkeypatch):
    before = dt.datetime.now(dt.timezone.utc)
    *identity, declared, _ = built_at(bento, project)
    assert before <= dt.datetime.fromisoformat(declared) <= dt.datetime.now(dt.timezone.utc)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    *of_epoch, declared, listed = built_at(bento, project)
    assert declared == "2023-11-14T22:13:20+00:00"
    assert listed.startswith("2023-11-1")
    *given, declared, _ = built_at(bento, project, "--creation-time", "2026-03-01T12:00:00+01:00")
    assert declared == "2026-03-01T12:00:00+01:00"
    assert identity == of_epoch == given
    *_, declared, _ = built_at(bento, project, "--creation-time", "2026-03-01T12:00:00Z")
    assert declared == "2026-03-01T12:00:00+00:00"  # as a rule writes it; Python 3.10 can't read Z


@pytest.mark.parametrize("epoch", ["", "soon", "-1", "1e9", "\u0661", "253402300799", "9" * 30, "9" * 5000])
def test_build_rejects_an_invalid_source_date_epoch(bento, project, monkeypatch, epoch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    bento("build", project, code=status.ERROR)
    assert "Unset or correct the variable." in bento.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label", "x"], "--label: expected KEY=VALUE, but value number 1 has no `=`."),
        (["--arg", "a=1", "--arg", "=x"], "--arg: expected KEY=VALUE, but value number 2 has no key."),
        (["--label", "a=1", "--label", "b=1", "--label", "a=2"], "--label: the key 'a' is set twice. Remove one of the values."),
        (["--env", "A=1", "--env", "A=2"], "--env: A is set twice for the stage 'all'."),
        (["--name", "Bad Name"], "--name: the name is invalid: 'bad name'. Use at most 63"),
        (["--archive", "/nonexistent/dir/a.bento"], "--archive: the directory /nonexistent/dir does"),
        (["--archive", "project"], "--archive: project is a directory."),
        (["--archive", "svc.zip"], "--archive: expected the suffix .bento, got svc.zip. For other"),
        (["--arg-file", "project/service.py"], "project/service.py:"),
        (["--bentofile", "nothing.yaml"], "nothing.yaml: cannot read the file"),
        (["--enable-features", "grcp"], "invalid value 'grcp'"),
        (["--creation-time", "yesterday"], "--creation-time: expected a time with a time zone, such as "),
        (["--creation-time", "2026-03-01T12:00:00"], "got '2026-03-01T12:00:00'."),
        (["--creation-time", "20260301T120000+00:00"], "got '20260301T120000+00:00'."),  # not in Python 3.10
        (["--creation-time", "9999-12-31T23:59:59-12:00"], "got '9999-12-31T23:59:59-12:00'."),  # year 10000 in UTC
    ],
)  # fmt: skip
def test_build_says_what_is_wrong(bento, project, words, message):
    assert bento("build", "project", *words, code=status.ERROR) == ""
    assert message in bento.err


@pytest.mark.parametrize("text", ["nowhere", "/nowhere", "./nowhere/x", "no.where", "nowhere.py", "\0"])
def test_build_of_a_directory_that_does_not_exist(bento, project, text):
    bento("build", text, code=status.ERROR)
    assert f"{text}: no such directory or module. Specify a project directory or MODULE:SERVICE." in bento.err.replace(
        "\\x00", "\0"
    )


def test_build_lowers_name_and_version_as_bentoml_does(bento, project):
    assert bento("build", project, "--name", "Release_B", "--version", "V1.RC") == "Built release_b:v1.rc.\n"


def test_the_order_of_flags_does_not_matter(bento, tmp_path):
    """But for labels, whose order BentoML keeps."""
    directory = tmp_path / "ordered"
    directory.mkdir()
    (directory / "service.py").write_text("import bentoml\n\n\n@bentoml.service(name='svc')\nclass Svc:\n    pass\n")
    flags = [["--env", "B=1"], ["--env", "A=1;stage=runtime"], ["--env", "A=2;stage=build"], ["--arg", "x=1"]]
    tags = set()
    for turn in range(len(flags)):
        turned = flags[turn:] + flags[:turn]
        for ordered in (turned, turned[::-1]):
            words = [word for flag in ordered for word in flag]
            tags.add(bento("build", directory, *words, "-o", "tag", "--archive", tmp_path / "x.bento"))
    assert len(tags) == 1, tags


# ---- Bad input --------------------------------------------------------------------------------------------------


def run_piped(home, words, data=b"", **more):
    """The command in a process of its own, with standard input through a pipe."""
    script = (
        f"import sys; sys.path[:0] = {list(filter(None, sys.path))!r}; from bento_cli.cli import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", script, "--home", str(home), *map(str, words)]
    return subprocess.run(command, input=data, capture_output=True, check=False, **more)


@pytest.mark.parametrize("form", ["xz", "gz", "bz2", "zst", "tar", "zip"])
def test_a_bento_travels_through_a_pipe(bento, project, tmp_path, form):
    bento("build", project, "--version", "v1")
    home = Path(bento("get", "svc:v1", "-o", "path").strip()).parents[2]
    done = run_piped(home, ["export", "svc:v1", "-", "--format", form])
    assert (done.returncode, done.stderr) == (0, b"")
    assert not Path("-.bento").exists()
    assert not Path("-").exists()
    bento("export", "svc:v1", tmp_path / "file", "--format", form)
    assert done.stdout == (tmp_path / "file").read_bytes()
    taken = run_piped(tmp_path / "new", ["import", "-"], done.stdout)
    if form == "zip":
        assert taken.returncode == status.ERROR
        assert b"zip archives can't be read from a pipe. Redirect a file instead: `< FILE`" in taken.stderr
        with (tmp_path / "file").open("rb") as file:
            script = "import sys; from bento_cli.cli import main; sys.exit(main())"
            env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            command = [sys.executable, "-c", script, "--home", tmp_path / "new", "import", "-"]
            taken = subprocess.run(command, stdin=file, capture_output=True, check=False, env=env)
    assert taken.returncode == 0, taken.stderr
    assert b"Imported Bento svc:v1." in taken.stdout


def test_standard_streams_are_dashes(bento, home, tmp_path):
    def piped(*words, data=b"", code=0):
        done = run_piped(home, words, data)
        assert done.returncode == code, done.stderr
        return done.stdout

    archive = Path("v1.bento").read_bytes()
    assert json.loads(piped("tree", "-", "-o", "json", data=archive)) == json.loads(
        bento("tree", "v1.bento", "-o", "json")
    ) | {"name": "-"}
    assert piped("diff", "hi:v1", "-", data=archive) == b""
    assert piped("verify", "-", data=archive).endswith(b": nothing damaged.\n")
    assert piped("verify", "-", data=archive[:-9], code=status.FOUND).startswith(b"damaged  archive <stdin>: ")
    pushed = piped("push", "hi:v1", "-")
    bento("push", "hi:v1", "oci-archive:one.tar")
    assert pushed == Path("one.tar").read_bytes()
    assert piped("import", "-", "--home", "a", data=pushed) == b"Imported Bento hi:v1 with clf:v1.\n"
    assert piped("pull", "-", "--home", "b", data=pushed) == b"Pulled Bento hi:v1 with clf:v1.\n"
    write_project(tmp_path / "project", {"files": {"bentofile.yaml": BENTOFILE}}, SERVICE)
    words = ("build", "project", "--version", "v1", "--creation-time", CREATION_TIME)
    built = piped(*words, "--archive", "-", "--arg-file", "-", data=b"x: 2\n")
    Path("args.yaml").write_text("x: 2\n")
    bento(*words, "--archive", "built.bento", "--arg-file", "args.yaml")
    assert built == Path("built.bento").read_bytes()


def test_standard_output_gets_the_archive_alone(bento, project):
    bento("build", project, "--version", "v1")
    for words in (["-o", "json"], ["-o", "path"]):
        bento("export", "svc:v1", "-", *words, code=status.ERROR)
        assert "--output can't be used if the archive is written to standard output" in bento.err
    bento("export", "svc:v1", "-", "--format", "folder", code=status.ERROR)
    assert "--format `folder`: a directory can't be written to standard output." in bento.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["verify", "./none.bento"], status.ERROR, "none.bento: no such file."),
        (["verify", "none.bento"], status.ERROR, "none.bento: no such file. Specify an existing archive"),
        (["import", "/etc"], status.ERROR, "/etc: the directory isn't a Bento."),
        (["models", "import", "/etc"], status.ERROR, "/etc: the directory isn't a model."),
        (["import", "x", "--max-size", "banana"], status.USAGE, "'--max-size': expected a size such as 1048576, 512M, or 2G, got 'banana'."),
        (["import", "x", "--max-size", "0"], status.USAGE, "2G, got '0'."),
        (["import", "x", "--max-memory", "9" * 5000], status.USAGE, "'--max-memory': expected a size such"),
        (["pull", "oci://LOCALHOST/Hello"], status.ERROR, "'oci://LOCALHOST/Hello': invalid repository 'Hello'."),
        (["pull", "oci://h.example/a:b:c"], status.ERROR, "oci://h.example/a:b:c"),
    ],
)  # fmt: skip
def test_a_message_names_what_was_typed(bento, words, code, message):
    bento(*words, code=code)
    assert message in bento.err
    assert "host.invalid" not in bento.err
    assert "_size" not in bento.err


# ---- The command line -------------------------------------------------------------------------------------------


def test_help_and_wrong_commands(bento):
    commands = dict(COMMANDS.walk())
    for path in commands:
        *group, name = path.split()
        assert re.search(f"^  {name} ", bento(*group, "--help"), re.MULTILINE)
    bento(code=status.USAGE)
    bento("models", code=status.USAGE)
    for words in (["xyz"], ["models", "frob"]):
        bento(*words, code=status.USAGE)
        assert "Did you mean" not in bento.err
    bento("lst", code=status.USAGE)
    assert "Did you mean 'list'?" in bento.err
    bento("models", "lst", code=status.USAGE)
    assert "Did you mean 'list'?" in bento.err
    for words, near in {"rm": "delete", "inspect": "get", "models rm": "delete", "load": "import"}.items():
        bento(*words.split(), code=status.USAGE)
        assert f"Did you mean '{near}'?" in bento.err
    bento("secret", code=status.ERROR)
    assert bento.err == "bento: bento has no command secret. Install BentoML, and use the `bentoml` command.\n"
    bento("list", "--nothing", code=status.USAGE)
    bento("import", code=status.USAGE)
    for path, found in commands.items():
        assert f"Usage: bento {path} [OPTIONS]" in bento(*path.split(), "--help")
        assert all(param.help for param in found.params)


@pytest.mark.parametrize("words", [*COUNTERPARTS, "models inspect"])
def test_words_of_docker_have_an_answer(words, bento):
    command = ["image", ".", words, "x"] if words.startswith("-") else [*words.split(), "."]
    bento(*command, code=status.USAGE)
    answer = COUNTERPARTS.get(words, "Did you mean 'get'?")
    assert answer in bento.err
    assert "Did you mean '--" not in bento.err
    for option in re.findall("--[a-z-]+", answer):
        assert option in bento("image", "--help") or f"docker run {option}" in answer
    for name in re.findall("`bento ([a-z]+)", answer):
        assert name in COMMANDS.list_commands(None)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("image --user", ""),
        ("image --compresion", "--compression"),
        ("list --jsn", "--json"),
        ("list --basil", ""),
        ("image --entrypont", "--entrypoint"),
    ],
)
def test_only_similar_names_are_suggested(words, hint, bento):
    bento(*words.split(), code=status.USAGE)
    assert ("Did you mean" in bento.err) is bool(hint)
    assert hint in bento.err


def test_errors_of_usage_have_a_remedy_in_json(bento):
    bento("list", "--json", "--nothing", code=status.USAGE)
    error = json.loads(bento.err)["error"]
    assert (error["problem"], error["remedy"]) == (
        "no such option '--nothing'.",
        "For all options, run `bento list --help`.",
    )


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("tree h.example/a:b", "Run `bento report IMAGE`."),
        ("get oci://h.example/a:b", "Run `bento report IMAGE`."),
        ("models get h.example/a", "Run `bento report IMAGE`."),
        ("diff hi:v1 h.example:5000/a/b", "To compare two images, run `bento report IMAGE OTHER`."),
        ("verify localhost/a", "To prove its contents, add --rebuild. To verify signatures, add --key KEY."),
        ("verify a --rebuild --source ../none", "--source ../none: the directory doesn't exist."),
        ("image ./ap", "/ap: the directory doesn't exist. Specify the directory of a uv project,"),
        ("image . --output json", "--output: expected oci:DIR. For the format of the output, add -o json."),
    ],
)
def test_a_value_of_another_kind_names_what_accepts_it(words, answer, bento):
    bento(*words.split(), code=status.ERROR)
    assert answer in bento.err


def test_the_two_outputs_of_images_name_each_other(bento):
    bento("image", ".", "-o", "oci:x", code=status.USAGE)
    assert "To write the image, add --output oci:x." in bento.err


def test_completion(home, capsys):
    def ask(*words):
        complete = get_completion_class("zsh")(COMMANDS, {}, "bento", "_BENTO_COMPLETE")
        return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]

    assert ask("ex") == ["export"]
    assert "models" in ask("")
    assert ask("models", "ex") == ["export"]
    assert ask("containerize", "hi", "--backend", "p") == ["podman"]
    assert ask("verify", "--key", "k") == ask("push", "hi", "--sign-key", "k") == ["k"]  # files
    assert ask("get", "hi:") == ["hi:v1", "hi:v2"]
    assert ask("models", "get", "") == ["clf:v1", "clf:v2"]
    assert ask("--home", "none", "get", "") == []
    assert ask("get", "hi:v1", "--out") == ["--output"]
    assert ask("get", "-o", "") == ["yaml", "json", "path"]
    assert ask("import", "--format", "t") == ["tar"]
    assert ask("diff", "hi:v1", "hi:v") == ["hi:v1", "hi:v2"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(bento, shell, tmp_path):
    script = bento("completion", shell)
    assert f"_BENTO_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        subprocess.run([shell, "-n", tmp_path / "script"], check=True)


def environment(**more):
    """What a process of the command needs, and nothing that changes its output."""
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")}
    paths = [str(PACKAGE), *(path for path in sys.path if path)]
    return kept | {"PYTHONPATH": os.pathsep.join(paths), "TERM": "xterm"} | more


def test_bash_completes_tags(home, tmp_path):
    if not shutil.which("bash"):
        pytest.skip("no bash here")
    program = tmp_path / "bin" / "bento"
    program.parent.mkdir()
    words = " ".join(f"'{word}'" if " " not in word else f'"{word}"' for word in command())
    program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    program.chmod(0o755)
    script = """
eval "$(bento completion bash)"
complete -p bento
complete() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _bento_completion bento
    echo "${COMPREPLY[@]}"
}
complete bento get hi : v
complete bento get hi :
complete bento models get ""
complete bento ex
complete bento --home home get h
complete bento image --compression ""
complete bento image --sbom s
"""
    env = environment(PATH=f"{program.parent}:/usr/bin:/bin")
    done = subprocess.run(["bash", "--norc", "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "complete -o nosort -F _bento_completion bento",
        "v1 v2",
        "v1 v2",
        "clf:v1 clf:v2",
        "export",
        "hi:v1 hi:v2",
        "gzip zstd",
        "spdx",
    ], done.stderr


def on_terminal(*arguments, columns=80, **variables):
    """What a command writes to a terminal."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    child = subprocess.Popen(
        command(*arguments), stdin=follower, stdout=follower, stderr=follower, env=environment(**variables)
    )
    os.close(follower)
    found = b""
    while True:
        try:
            piece = os.read(leader, 4096)
        except OSError:  # how Linux says that the other side is closed
            break
        if not piece:
            break
        found += piece
    os.close(leader)
    child.wait(60)
    return found.decode()


def test_color_is_for_terminals(bento, home):
    assert "\x1b[" in on_terminal("list")
    assert "\x1b[" not in on_terminal("list", NO_COLOR="1")
    assert "\x1b[" not in on_terminal("list", TERM="dumb")
    assert "\x1b[2m:v1\x1b[0m" in on_terminal("list")
    assert "\x1b[" not in bento("list")


@pytest.mark.parametrize(
    ("columns", "head"),
    [
        (120, "Tag Size Model Size Creation Time Age"),
        (80, "Tag Size Model Size Age"),
        (60, "Tag Size Age"),
        (50, "Tag Age"),
        (30, "Tag Age"),
    ],
)
def test_tables_fit_a_terminal(bento, home, columns, head):
    for version in ("k3wsnf7566nt7pk4lzkvo5w3rqkau2ec", "z3wsnf7566nt7pk4lzkvo5w3rqkau2ec"):
        shutil.copytree(home / "bentos/hi/v1", home / f"bentos/hi/{version}")
        descriptor = home / f"bentos/hi/{version}/bento.yaml"
        descriptor.write_text(descriptor.read_text().replace("version: v1", f"version: {version}"))
    first, *lines = on_terminal("list", columns=columns, NO_COLOR="1").splitlines()
    assert " ".join(first.split()) == head
    assert max(map(len, lines)) <= columns
    tags = [line.split()[0] for line in lines if ":k3wsnf" in line]
    assert [Path(bento("get", tag, "-o", "path").strip()).name[:6] for tag in tags] == ["k3wsnf"]
    tree = on_terminal("tree", "hi:k3", columns=columns, NO_COLOR="1")
    assert ("executable" in tree) == ("%" in tree)
    assert max(map(len, tree.splitlines())) <= max(columns, 50)


def test_terminals_show_ages_shares_and_folded_texts(bento, home):
    assert re.search(r"\d+ \w+ ago|now", on_terminal("list"))
    assert "ago" not in bento("list")
    tree = on_terminal("tree", "hi:v1", NO_COLOR="1")
    ends = {len(line.partition("iB ")[0]) for line in tree.splitlines()[1:] if "iB " in line}
    assert len(ends) <= 1
    assert re.search(r"bento.yaml +\d+\.\d\d B +\d+\.\d %", tree), tree
    assert "%" not in bento("tree", "hi:v1")
    assert re.search(
        r"\u2713.* Wrote\s+\S+x.html.\s+\S+\d\.\d s", on_terminal("report", "hi:v1", "-o", str(home / "x.html"))
    )
    assert "* " in on_terminal("report", "hi:v1", "-o", str(home / "x.html"), PYTHONIOENCODING="latin-1", NO_COLOR="1")
    assert bento("report", "hi:v1", "-o", str(home / "x.html")).startswith("Wrote ")
    path = home / "bentos/hi/v1/bento.yaml"
    path.write_text(path.read_text() + "labels:\n  a: " + json.dumps("first\n" * 40) + "\n")
    assert "first (and 39 more lines; to print all, add -o yaml)" in on_terminal("get", "hi:v1")
    assert on_terminal("get", "hi:v1", "-o", "yaml").count("first") == bento("get", "hi:v1").count("first") == 40


def test_errors_have_a_hint_in_a_terminal_and_fields_in_json(bento, home):
    shown = on_terminal("get", "hx:v1", NO_COLOR="1")
    assert re.search(r"^hint: ", shown, re.MULTILINE)
    lines = on_terminal("get", "h" * 60 + ":v1", NO_COLOR="1").splitlines()
    assert all(len(line) < 80 or " " not in line for line in lines)
    words = " ".join(lines).replace("hint: ", "").split()
    bento("get", "h" * 60 + ":v1", code=status.NOT_FOUND)
    assert words == bento.err.split(), "no word is broken"
    bento("get", "hx:v1", "--json", code=status.NOT_FOUND)
    error = json.loads(bento.err)["error"]
    assert error["message"] == f"{error['place']}: {error['problem']}. {error['remedy']}"
    bento("get", "hx:v1", code=status.NOT_FOUND)
    assert bento.err == f"bento: {error['message']}\n"
    bento("list", "--json", "--nope", code=status.USAGE)
    assert json.loads(bento.err)["error"]["message"].startswith("no such option '--nope'.")


def test_homes_that_are_absent_and_empty(bento):
    assert bento("--home", "absent", "list", "-o", "json") == "[]\n"
    assert bento.err == "note: --home: absent doesn't exist, so the store is empty.\n"
    bento("--home=", "list", code=status.ERROR)
    assert (
        bento.err
        == "bento: --home: expected a directory, got an empty string. Specify a directory, or remove --home.\n"
    )


def test_names_cannot_drive_the_terminal(bento, home):
    (home / "bentos/hi/v1/src/\x1b[31mred\nline").write_bytes(b"x")
    assert r"\x1b[31mred\nline" in bento("tree", "hi:v1").replace("\n", "\\n")
    assert "\x1b" not in bento("tree", "hi:v1")
    assert "\x1b" not in bento("verify")
    assert show.plain("a\x9b\u202eé ") == "a\\x9b\\u202eé "


def test_errors_are_one_message(home, monkeypatch, capsys):
    monkeypatch.setattr("bento_cli.library.Store.gc", lambda *_, **__: 1 / 0)
    assert main(["gc"]) == status.ERROR
    assert re.fullmatch(
        r"bento: internal error: ZeroDivisionError: division by zero \(cli/commands/store.py:\d+\). "
        r"Report the error with the traceback that BENTO_TRACEBACK=1 prints.\n",
        capsys.readouterr().err,
    )
    monkeypatch.setenv("BENTO_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        main(["gc"])


REMOVE = "To remove partial data, run `bento gc`."
CACHED = "Finished layers remain in the cache, and the next build reuses them."


@pytest.mark.parametrize(
    ("words", "function", "text"),
    [
        ("build project", "bento_cli.projects.from_directory.build_bentofile", "No Bento was built."),
        ("build project", "bento_cli.projects.from_directory.BuildResult.add", f"No Bento was built. {REMOVE}"),
        ("build project --archive x.bento", "bento_cli.projects.from_directory.BuildResult.archive", "No Bento was built."),
        ("build project --containerize", "bento_cli.sharing.containers.containerize", CACHED),
        ("lock project", "bento_cli.projects.from_directory.build_bentofile", "The lock is unchanged."),
        ("import v1.bento", "bento_cli.store.import_session.import_archive", f"Complete Bentos remain in the store. {REMOVE}"),
        ("models import m.bentomodel", "bento_cli.store.import_session.import_archive", f"Complete models remain in the store. {REMOVE}"),
        ("pull oci:layout", "bento_cli.sharing.registry.layouts.pull", f"Complete Bentos remain in the store. {REMOVE}"),
        ("pull localhost:1/a", "bento_cli.sharing.registry.pull_entry.pull", "Downloads remain, and the next pull resumes."),
        ("models pull localhost:1/a", "bento_cli.sharing.registry.pull_entry.pull", "Downloads remain, and the next pull resumes."),
        ("push hi localhost:1/a", "bento_cli.sharing.registry.push_entry.push", "Finished uploads remain, and the next push sends only the rest."),
        ("push hi -", "bento_cli.sharing.registry.layouts.push", "The archive is incomplete."),
        ("export hi x.bento", "bento_cli.store.export.contents", "No archive was written."),
        ("export hi -", "bento_cli.store.export.contents", "The archive is incomplete."),
        ("export hi x --format folder", "bento_cli.store.export.contents", "The directory is incomplete."),
        ("containerize hi", "bento_cli.sharing.containers.containerize", CACHED),
        ("image", "bento_cli.sharing.native_project.build_image", CACHED),
    ],
)  # fmt: skip
def test_an_interrupted_command_says_what_remains(project, monkeypatch, capsys, words, function, text):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    for name in ("v1.bento", "m.bentomodel"):
        Path(name).touch()
    monkeypatch.setattr(function, interrupted)
    assert main(words.split()) == status.INTERRUPTED
    assert f"bento: interrupted. {text}" in " ".join(capsys.readouterr().err.split())


def test_an_interruption_after_the_last_step_says_that_the_bento_is_there(project, monkeypatch, capsys):
    from bento_cli.projects.from_directory import BuildResult

    def add(*arguments, real=BuildResult.add):
        real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(BuildResult, "add", add)
    assert main(["build", "project", "--version", "v1"]) == status.INTERRUPTED
    assert "bento: interrupted. svc:v1 is in the store.\n" in capsys.readouterr().err
    assert Store().bentos.get("svc:v1")


def test_a_reader_that_goes_is_not_an_error(home):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command("get", "-q", "hi"), stdout=writing, stderr=subprocess.PIPE, check=False, env=environment()
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (status.PIPE, b"")


def test_a_command_that_is_interrupted_leaves_nothing(home, tmp_path):
    write_archive(tmp_path / "big.bento", bento_files("hi:v3", src__big=os.urandom(6 << 20)))
    reading, writing = os.pipe()
    child = subprocess.Popen(
        command("import", "-", "--home", home), stdin=reading, stderr=subprocess.PIPE, env=environment()
    )
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(Path("big.bento").read_bytes()[: 4 << 20])
        pipe.flush()
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == status.INTERRUPTED
    text = "interrupted. Complete Bentos remain in the store. To remove partial data, run `bento gc`."
    assert child.stderr.read().decode().split() == f"bento: {text}".split()
    child.stderr.close()
    assert not list((home / ".rules_bento/staging").iterdir())
    assert len(Store(home).bentos.list()) == 2


def test_commands_import_little(home):
    """Imports decide how fast a listing starts: it needs nothing that packs or hashes, and parses no known entry."""
    Store(home).bentos.list()
    script = "import sys; from bento_cli.cli import main; main(['list']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True)
    heavy = {"yaml", "blake3", "lzma", "tarfile", "zipfile", "shutil", "ctypes", "subprocess", "zstandard", "logging"}
    if sys.version_info < (3, 11):
        heavy.remove("subprocess")  # click imports uuid, which imports it in Python 3.10
    assert not heavy & set(done.stderr.split())


def test_versions_of_python_that_do_not_exist(bento, tmp_path):
    write_project(tmp_path / "project", {}, "import bentoml\n\n\n@bentoml.service\nclass Hello: ...\n")
    for version, problem in {
        "3.99": "Python 3.99 isn't supported. Use 3.9, 3.10, 3.11, 3.12, 3.13, 3.14, 3.15.",
        "3": "invalid Python version '3'. Use a version such as '3.12'.",
    }.items():
        for words in (["build", "--no-lock"], ["lock"]):
            bento(*words, "--python-version", version, "project", code=1)
            assert bento.err == f"bento: --python-version: {problem}\n"
    bento("build", "--no-lock", "--python-version", "3.12.1", "project")


def test_builds_import_little(home, tmp_path):
    """A build that needs neither uv nor an import of the service loads no module for them."""
    write_project(tmp_path / "project", {}, "import bentoml\n\n\n@bentoml.service\nclass Hello: ...\n")
    script = "import sys; from bento_cli.cli import main; main(['build', '--no-lock', 'project']); print(*sys.modules)"
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True
        )
    assert "already in the store" in done.stdout
    loaded = done.stdout.split()
    heavy = {"bentos.packages.uv", "base.formats.shapes", "bentos.service.stand_ins"}
    assert not {"ssl", "email", "tarfile", *(f"rules_bento.{name}" for name in heavy)}.intersection(loaded)
    assert len([name for name in loaded if name.startswith(("bento_cli.", "rules_bento."))]) <= 105


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_output_for_programs_has_no_character_that_a_terminal_obeys(capsys, form):
    """Programs read what was there; a terminal shows escapes."""
    points = [*range(0x20), *range(0x7E, 0xA1), 0xAD, 0x061C, *range(0x200B, 0x2010), *range(0x2028, 0x202F)]
    points += [*range(0x2060, 0x2070), 0xFEFF, 0xFFF9, 0xE0001, 0xE0041]
    value = {f"a{chr(point)}b": [chr(point), f"é {chr(point)}{chr(point)} 🍱"] for point in points} | {"plain": "é🍱"}
    assert show.data(value, form)
    text = capsys.readouterr().out
    assert text.replace("\n", "").isprintable()
    assert (json.loads if form == "json" else yaml.safe_load)(text) == value
    assert show.data({"plain": "é🍱"}, form)
    assert "é🍱" in capsys.readouterr().out


def test_the_command_of_bazel_finds_its_uv_after_that_of_the_path(home, tmp_path, monkeypatch, capsys):
    for place in ("runfiles", "own"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "uv").write_text("#!/bin/sh\n")
        (tmp_path / place / "uv").chmod(0o755)
    for path, found in ((str(tmp_path / "own"), "own"), ("/usr/bin/none", "runfiles")):
        monkeypatch.setenv("PATH", path)
        words = ["--uv", str(tmp_path / "runfiles/uv"), "--", "list", "-o", "json"]
        assert run_command(decode(run_command, words)) == status.OK
        assert which("uv") == str(tmp_path / found / "uv")
    assert json.loads(capsys.readouterr().out.partition("]\n")[0] + "]")


def test_commands_of_bentoml_that_need_another_way(bento, tmp_path):
    (tmp_path / "service.py").write_text("")
    for text in (".", "service:Svc", "service.py:Svc", "./x"):
        bento("serve", text, code=1)
        assert f"{text} is a project, but the command serves Bentos in the store. Run `bento build {text}`" in bento.err
    (tmp_path / "hi.py").write_text("")
    bento("serve", "hi:v3", code=status.NOT_FOUND)  # a Bento with this name is in the store


def test_a_build_shows_its_progress(project):
    (project / "weights.bin").write_bytes(b"w" * 3_000_000)
    counted = []
    result = build_bentofile(build_ctx=str(project))
    result.add(Store(project.parent / "built", durable=False).home, counted.append)
    assert sum(counted) == result.size
