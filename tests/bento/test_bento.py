"""Our Bentos beside the ones that real BentoML 1.4.40 made of the same projects (tests/golden)."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from bento_cli.projects.from_directory import ExtraOptions, build_bentofile
from rules_bento.base.errors import BentoError
from rules_bento.bentos.assembly.named_files import uv_lock_lines
from rules_bento.bentos.build_options.project import ProjectFiles

from tests.helpers.golden_bentos import (
    ADDED,
    BENTO_PROJECTS,
    BENTOML,
    BENTOS,
    CHANGED,
    ONLY_OURS,
    OPTIONS,
    PROJECTS,
    REFUSED,
    SERVICE,
    comparable,
    known_tree,
    listed,
    our_tree,
    requirements,
    store_of,
)
from tests.helpers.projects import Listing, document_of, write_project

TYPE_CHECKING = False


def built(case: str, tmp_path: Path):
    project = PROJECTS[case]
    directory = write_project(tmp_path / case, project, SERVICE)
    options = dict(zip(project.get("arguments", [])[::2], project.get("arguments", [])[1::2], strict=True))
    label = options.get("--label", "").split("=")
    return build_bentofile(
        build_ctx=directory,
        name=options.get("--name"),
        labels={label[0]: label[1]} if len(label) == 2 else None,
        version="v1",
        extra=ExtraOptions(bentoml_version=BENTOML, store=tmp_path),
    )


def test_every_listing_has_a_project():
    assert {path.stem for path in OPTIONS.glob("*.txt")} == set(PROJECTS)


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_invalid_input_is_rejected(case, tmp_path, monkeypatch):
    monkeypatch.chdir(write_project(tmp_path / case, PROJECTS[case], SERVICE))
    with pytest.raises(BentoError) as error:
        build_bentofile(version="v1", extra=ExtraOptions(bentoml_version=BENTOML, store=tmp_path))
    assert REFUSED[case] in str(error.value)


@pytest.mark.parametrize("case", sorted(set(PROJECTS) - set(REFUSED)))
def test_as_bentoml_makes_it(case, tmp_path):
    made = built(case, tmp_path)
    real = Listing.read(OPTIONS / f"{case}.txt")
    assert (real.status != 0) is (case in ONLY_OURS)
    if case in ONLY_OURS:
        return
    name, version = re.search(r"__tag__:(.+):(.+)", real.messages).groups()
    assert (made.tag.name, made.tag.version) == (name, version)
    assert our_tree(made) == known_tree(real.tree | ADDED.get(case, {}))
    ours, theirs = document_of(made.bento.files["bento.yaml"]), real.document
    CHANGED.get(case, lambda document: None)(theirs)
    assert list(ours) == list(theirs), "the order of the keys"
    assert comparable(ours) == comparable(theirs)
    for title, text in real.sections.items():
        if title in ("env/python/requirements.in", "env/python/requirements.txt") and case not in CHANGED:
            assert requirements(made.bento.files[title].decode()) == requirements(text)
        elif title == "env/conda/environment.yml":
            assert yaml.safe_load(made.bento.files[title]) == yaml.safe_load(text)
        elif title == "env/docker/Dockerfile.template":
            assert made.bento.files[title].decode().strip() == text.strip()
        elif title == "install.sh PIP_ARGS":
            arguments = re.search(r"PIP_ARGS=\((.*)\)", text)[1]
            assert f"\nset -- {arguments}".rstrip() + "\n" in made.bento.files["env/python/install.sh"].decode()
        elif title == "README.md first line":
            assert made.bento.files["README.md"].decode().splitlines()[0] == text.splitlines()[0]


@pytest.mark.parametrize("case", sorted(BENTO_PROJECTS.keys() - {"iris_legacy"}))  # which needs the import
def test_whole_bentos_as_bentoml_makes_them(case, tmp_path):
    project = BENTO_PROJECTS[case]
    service = project.get("service")
    if case == "img_svc":  # static analysis rejects `Img = ImgSvc`
        source = project["files"]["service.py"].replace("Img = ImgSvc\n", "")
        project, service = {**project, "files": {**project["files"], "service.py": source}}, "service:ImgSvc"
    directory = write_project(tmp_path / "project", project, "")
    beside = ExtraOptions(bentoml_version=BENTOML, store=store_of(tmp_path / "models"))
    made = build_bentofile(build_ctx=directory, service=service, version="v1", extra=beside)
    ours = document_of(made.bento.files["bento.yaml"])
    theirs = document_of((BENTOS / f"{case}.bento.yaml").read_text("utf-8")) | {"version": "v1"}
    if case == "img_svc":
        assert theirs["service"] == "service:Img"
        theirs["service"] = service
        theirs["image"]["commands"] = theirs["image"]["commands"][1:]  # BentoML installs its own packages twice
    assert list(ours) == list(theirs)
    assert comparable(ours) == comparable(theirs)
    tree = BENTOS / f"{case}.tree.txt"
    if tree.exists():
        assert our_tree(made) == known_tree(listed(tree) | ADDED.get(case, {}))
    record = BENTOS / f"{case}.src_bentofile.yaml"
    if record.exists() and "src/bentofile.yaml" in made.bento.files:
        recorded = yaml.safe_load(record.read_text("utf-8"))
        if case == "img_svc":
            recorded["service"] = service
        assert yaml.safe_load(made.bento.files["src/bentofile.yaml"]) == recorded
        assert made.bento.files["src/bentofile.yaml"].decode().splitlines()[0] == "args: {}"


LOCKED = """
version = 1
revision = 3
requires-python = ">=3.10"

[[package]]
name = "a"
version = "1"
source = { registry = "https://index.example/simple" }
dependencies = [{ name = "c", marker = "python_full_version < '3.12' and sys_platform == 'win32'" }]

[[package]]
name = "b"
version = "2"
source = { url = "https://files.example/b-2-py3-none-any.whl" }

[[package]]
name = "c"
version = "3"
source = { registry = "https://index.example/simple" }

[[package]]
name = "d"
version = "4"
source = { registry = "https://index.example/simple" }

[[package]]
name = "locked"
version = "0"
source = { virtual = "." }
dependencies = [{ name = "a" }]

[package.dev-dependencies]
dev = [{ name = "b" }]
more-tests = [{ name = "d" }]
"""
PROJECT = "[project]\nname = 'Locked'\nversion = '0'\n[dependency-groups]\ndev = ['b']\nmore-tests = ['d']\n[tool.uv]\n"


@pytest.mark.parametrize("groups", ["", "[]", "['More_Tests']", "'all'"])
def test_a_uv_lock_is_exported_as_uv_does(groups, tmp_path):
    texts = {"uv.lock": LOCKED, "pyproject.toml": PROJECT + f"default-groups = {groups}\n" * bool(groups)}
    for name, text in texts.items():
        (tmp_path / name).write_text(text, "utf-8")
    command = [os.environ["RULES_BENTO_UV"], "export", "--frozen", "--no-header", "--no-annotate", "--no-hashes"]
    command += ["--no-emit-project", "--offline", "--no-config", "--no-cache"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    lines = uv_lock_lines(ProjectFiles({name: text.encode() for name, text in texts.items()}))
    assert [line.text for line in lines] == done.stdout.splitlines()
