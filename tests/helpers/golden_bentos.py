"""Provides the golden Bentos, our intended differences, and functions to compare Bentos."""

import json
import re
from pathlib import Path

import yaml
from rules_bento.bentos.build_options import distros
from rules_bento.bentos.packages.requirement_syntax import parse

from tests.helpers.projects import HERE, mode_of

TYPE_CHECKING = False


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
    "abs_symlink": "is absolute or outside the Bento",
    "cuda_alpine": "bentofile.yaml:3: docker.cuda_version: distro 'alpine' doesn't support CUDA",
    "dangling_symlink": "is a link to 'missing.py', but missing.py is missing",
    "models_key": "bentofile.yaml:3: models: the Bento requires the model 'raw_model:v1'",
    "src_layout_pathed": "service: the sources don't contain src/hi_svc.py, which `src.hi_svc:Hi` requires",
    "unknown_key": "bentofile.yaml:3: labls: unknown option of BentoML 1.4. Did you mean 'labels'?",
}


def _image(**fields):
    def change(document):
        document["image"] |= fields

    return change


def _envs(document):
    document["envs"] = [{"name": "A", "value": "b", "stage": "all"}]


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
    "img_evolve": _image(commands=[APT, "apt-get install -q -y -o Dpkg::Options::=--force-confdef curl", "echo a"]),
    "img_no_bentofile": _image(commands=[APT, "echo a"]),
    "img_plus_bentofile_nopost": _image(commands=[APT, "apt-get install -q -y -o Dpkg::Options::=--force-confdef vim"]),
    "img_uvlock": _image(commands=[APT], python_requirements="idna==3.20\nbentoml==1.4.40\n"),
}


# BentoML cannot build these at all.
ONLY_OURS = {"distro_amazonlinux", "no_bentofile"}

# Files that BentoML's Bento should have had.
ADDED = {case: {"env/docker/script__": "0o755"} for case in ("img_evolve", "img_svc")}
BENTOS = HERE / "golden" / "bentos"
BENTO_PROJECTS = yaml.safe_load((BENTOS / "projects.yaml").read_text("utf-8"))


def store_of(directory: Path) -> Path:
    """Create BentoML's model store with the models of the golden Bentos."""
    for path in BENTOS.glob("model_*.yaml"):
        fields = yaml.safe_load(path.read_text("utf-8"))
        entry = directory / fields["name"] / fields["version"]
        entry.mkdir(parents=True)
        (entry / "model.yaml").write_bytes(path.read_bytes())
        (entry / "saved_model.pkl").write_bytes(b"weights")
    return directory


def listed(path: Path) -> dict[str, str]:
    """Return the modes of files, by path, in a listing that `find` wrote (kind, mode, size, path)."""
    lines = (line.split(" ", 3) for line in path.read_text("utf-8").splitlines() if line.startswith("f"))
    return {name: f"0o{mode}" for _, mode, _, name in lines}


def our_tree(made) -> dict[str, str]:
    return {nameless(entry.path): mode_of(entry) for entry in made.bento.manifest.entries}


def known_tree(tree: dict[str, str]) -> dict[str, str]:
    """Return the paths of a Bento that are known without importing the service. Excludes empty directories."""
    return {nameless(path): mode for path, mode in tree.items() if not path.startswith("apis/") and mode != "(empty)"}


def nameless(text: str) -> str:
    """Remove the hash of the script's path on the build machine from the names of scripts."""
    return re.sub(r"script__[0-9a-f]*", "script__", text)


def comparable(document: dict) -> dict:
    document = json.loads(nameless(json.dumps(document).replace(REGISTRY, "<registry>")))
    if "image" in document:
        document["image"]["python_requirements"] = requirements(document["image"]["python_requirements"])
    return document


def requirements(text: str) -> list[str]:
    """Return sorted requirements and options without spacing, quotes, and comments. uv and pip ignore the order."""
    found, options = parse(text.replace(" # x", ""), "requirements.txt")
    lines = [re.sub(r"\s", "", requirement.text).replace("'", '"') for requirement in found]
    return sorted([*lines, *(f"{option.flag} {option.value}".strip() for option in options)])
