"""Our Bentos beside the ones that real BentoML 1.4.40 made of the same projects (tests/golden)."""

from __future__ import annotations

import json
import os
import re

import pytest
import yaml
from projects import HERE, Listing, document_of, mode_of, write_project
from rules_bento.bento.of_folder import Beside, build_bentofile
from rules_bento.build_options import distros
from rules_bento.errors import BentoError
from rules_bento.packages.requirements import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = HERE / "golden" / "options"
PROJECTS = yaml.safe_load((OPTIONS / "projects.yaml").read_text("utf-8"))
SERVICE = PROJECTS.pop("_service")
BENTOML = "1.4.40"
REGISTRY = distros.get("ubi8").python.partition("/")[0]
APT = (
    "apt-get update && apt-get install -q -y --no-install-recommends --allow-remove-essential "
    "ca-certificates gnupg2 bash build-essential git"
)

# What we refuse, and what stands in the message. BentoML fails there, too, or makes a Bento that cannot be used.
REFUSED = {
    "abs_symlink": "is absolute or leaves the Bento",
    "cuda_alpine": "bentofile.yaml:3: docker.cuda_version: there is no CUDA for distro 'alpine'",
    "dangling_symlink": "is a link to 'missing.py', but no file lies there",
    "models_key": "bentofile.yaml:3: models: the Bento needs the model 'raw_model:v1'",
    "src_layout_pathed": "the service `src.hi_svc:Hi` needs src/hi_svc.py",
    "unknown_key": "bentofile.yaml:3: labls is no option of BentoML 1.4. Did you mean 'labels'?",
}


def _image(**fields):
    def change(document):
        document["image"] |= fields

    return change


def _envs(document):
    document["envs"] = [{"name": "A", "value": "b", "stage": "all"}]


def _evolved(document):
    document["image"]["commands"] = [APT, "apt-get install -q -y -o Dpkg::Options::=--force-confdef curl", "echo a"]


# Where our bento.yaml differs on purpose: what BentoML's would have to be. docs/compatibility.md has the reasons.
CHANGED = {
    "base_image": _image(commands=[]),
    "distro_ubi8": _image(
        base_image="<registry>/ubi8/python-311:1",
        commands=[
            "yum update -y && yum install -y ca-certificates gcc gcc-c++ make bash shadow-utils git",
            "yum install -y curl git",
        ],
    ),
    "docker_env_dict": _envs,
    "img_alpine": _image(
        commands=["apk add --update bash gcc libc-dev shadow musl-dev build-base linux-headers g++ git"]
    ),
    "img_amazon": _image(
        commands=[
            "yum update -y && yum install -y amazon-linux-extras ca-certificates gcc gcc-c++ make bash shadow-utils "
            "git tar gzip && amazon-linux-extras install -y python3.8 && ln -sf /usr/bin/python3.8 "
            "/usr/local/bin/python3 && ln -sf /usr/bin/pip3.8 /usr/local/bin/pip"
        ]
    ),
    "img_evolve": _evolved,
    "img_no_bentofile": _image(commands=[APT, "echo a"]),
    "img_plus_bentofile_nopost": _image(commands=[APT, "apt-get install -q -y -o Dpkg::Options::=--force-confdef vim"]),
    "img_uvlock": _image(commands=[APT], python_requirements="idna==3.20\nbentoml==1.4.40\n"),
}
# BentoML cannot build these at all.
ONLY_OURS = {"distro_amazonlinux", "no_bentofile"}
# Files that BentoML's Bento should have had.
ADDED = {case: {"env/docker/script__": "0o755"} for case in ("img_evolve", "img_svc")}


def built(case: str, tmp_path: Path):
    project = PROJECTS[case]
    folder = write_project(tmp_path / case, project, SERVICE)
    options = dict(zip(project.get("arguments", [])[::2], project.get("arguments", [])[1::2], strict=True))
    label = options.get("--label", "").split("=")
    return build_bentofile(
        build_ctx=folder,
        name=options.get("--name"),
        labels={label[0]: label[1]} if len(label) == 2 else None,
        version="v1",
        beside=Beside(bentoml_version=BENTOML, store=tmp_path, uv=uv()),
    )


def uv() -> str:
    return os.environ["RULES_BENTO_UV"]


def test_every_listing_has_a_project():
    assert {path.stem for path in OPTIONS.glob("*.txt")} == set(PROJECTS)


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_refused(case, tmp_path, monkeypatch):
    monkeypatch.chdir(write_project(tmp_path / case, PROJECTS[case], SERVICE))
    with pytest.raises(BentoError) as error:
        build_bentofile(version="v1", beside=Beside(bentoml_version=BENTOML, store=tmp_path))
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


BENTOS = HERE / "golden" / "bentos"
BENTO_PROJECTS = yaml.safe_load((BENTOS / "projects.yaml").read_text("utf-8"))


def store_of(folder: Path) -> Path:
    """BentoML's model store with the models that the golden Bentos bring along."""
    for path in BENTOS.glob("model_*.yaml"):
        fields = yaml.safe_load(path.read_text("utf-8"))
        entry = folder / fields["name"] / fields["version"]
        entry.mkdir(parents=True)
        (entry / "model.yaml").write_bytes(path.read_bytes())
        (entry / "saved_model.pkl").write_bytes(b"weights")
    return folder


@pytest.mark.parametrize("case", sorted(BENTO_PROJECTS))
def test_whole_bentos_as_bentoml_makes_them(case, tmp_path):
    folder = write_project(tmp_path / "project", BENTO_PROJECTS[case], "")
    beside = Beside(bentoml_version=BENTOML, store=store_of(tmp_path / "models"))
    made = build_bentofile(build_ctx=folder, service=BENTO_PROJECTS[case].get("service"), version="v1", beside=beside)
    ours = document_of(made.bento.files["bento.yaml"])
    theirs = document_of((BENTOS / f"{case}.bento.yaml").read_text("utf-8")) | {"version": "v1"}
    if case == "img_svc":
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
            recorded["python"]["lock_packages"] = False  # that of a bentofile which says nothing: we resolve nothing
        assert yaml.safe_load(made.bento.files["src/bentofile.yaml"]) == recorded
        assert made.bento.files["src/bentofile.yaml"].decode().splitlines()[0] == "args: {}"


def listed(path: Path) -> dict[str, str]:
    """The files of a listing by `find`: kind, mode, size, path."""
    lines = (line.split(" ", 3) for line in path.read_text("utf-8").splitlines() if line.startswith("f"))
    return {name: f"0o{mode}" for _, mode, _, name in lines}


def our_tree(made) -> dict[str, str]:
    return {nameless(entry.path): mode_of(entry) for entry in made.bento.manifest.entries}


def known_tree(tree: dict[str, str]) -> dict[str, str]:
    """The paths of a Bento that can be known without importing it, without empty folders, which say nothing."""
    return {nameless(path): mode for path, mode in tree.items() if not path.startswith("apis/") and mode != "(empty)"}


def nameless(text: str) -> str:
    """BentoML names scripts by where they lay on the machine that built."""
    return re.sub(r"script__[0-9a-f]*", "script__", text)


def comparable(document: dict) -> dict:
    document = json.loads(nameless(json.dumps(document).replace(REGISTRY, "<registry>")))
    if "image" in document:
        document["image"]["python_requirements"] = requirements(document["image"]["python_requirements"])
    return document


def requirements(text: str) -> list[str]:
    """Requirements and options, whatever their spacing, quotes and comments. Without order: so uv and pip take them."""
    found, options = parse(text.replace(" # x", ""), "requirements.txt")
    lines = [re.sub(r"\s", "", requirement.text).replace("'", '"') for requirement in found]
    return sorted([*lines, *(f"{option.flag} {option.value}".strip() for option in options)])
