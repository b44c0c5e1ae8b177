"""docs/compatibility.md has a row for every option of BentoML, and compatibility_tests.json names tests of each row."""

import json
import re
import subprocess

import pytest
from rules_bento.bentos.assembly.image_steps import STEPS
from rules_bento.bentos.build_options.options import KEYS
from rules_bento.bentos.packages.virtualenv import make_environment

from tests.conftest import locked_wheels
from tests.helpers.projects import HERE

# The tests of each row, by heading and first cell. Names are relative to tests/. `[case]` is a listing in
# tests/golden/options, which real BentoML wrote; `differential` is tests/differential, which compares generated projects
# with real BentoML.
TESTS: dict[str, dict[str, str]] = json.loads((HERE / "docs/compatibility_tests.json").read_text("utf-8"))
TEXT = (HERE.parent / "docs" / "compatibility.md").read_text("utf-8")
HEADS = ("key", "flag", "constructor, method", "in a bentofile", "metadata", "part", "form")
SECTIONS = re.split(r"^#+ ", TEXT, flags=re.MULTILINE)
ROWS = [
    (section.partition("\n")[0], [cell.strip() for cell in line.strip("|").split("|")])
    for section in SECTIONS
    for line in section.splitlines()
    if line.startswith("| ") and not line.startswith(tuple(f"| {head} |" for head in HEADS))
]
NAMED = {name for _, row in ROWS for name in re.findall(r"`([^`]+)`", row[0])}

OF_BENTOML = """
import inspect, json
from _bentoml_sdk.images import Image
from bentoml_cli.cli import create_bentoml_cli
from bentoml._internal.bento.build_config import BentoBuildConfig, CondaOptions, DockerOptions, PythonOptions
import attrs

def fields(cls):
    return [field.name for field in attrs.fields(cls)]

command = create_bentoml_cli().commands["build"]
methods = [name for name, _ in inspect.getmembers(Image, inspect.isfunction) if not name.startswith("_")]
print(json.dumps({
    "flags": [option.opts[-1] for option in command.params if getattr(option, "opts", None) and option.opts[-1][:2] == "--"],
    "fields": [field.alias or field.name for field in attrs.fields(Image) if field.init],
    "methods": [name for name in methods if name != "freeze"],
    "keys": fields(BentoBuildConfig)
    + ["docker." + name for name in fields(DockerOptions)]
    + ["python." + name for name in fields(PythonOptions)]
    + ["conda." + name for name in fields(CondaOptions)],
}))
"""


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """What the real BentoML has."""
    python = make_environment(tmp_path_factory.mktemp("bentoml"), locked_wheels())
    variables = {"BENTOML_DO_NOT_TRACK": "true", "HOME": str(tmp_path_factory.mktemp("home")), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([str(python), "-c", OF_BENTOML], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_options(known):
    assert set(known["keys"]) == set(KEYS)
    assert set(known["keys"]) <= NAMED


def test_image(known):
    assert set(known["methods"]) <= set(STEPS)
    assert {f"{name}()" for name in known["methods"]} <= NAMED
    assert set(known["fields"]) <= NAMED


def test_flags(known):
    assert set(known["flags"]) - {"--help"} <= NAMED


def test_flags_refer_to_attributes_and_rules():
    """The second cell of a flag has names of docs/reference.md, or an output group."""
    reference = (HERE.parent / "docs" / "reference.md").read_text("utf-8")
    known = {"tag", *re.findall(r"^(?:- `|### )(\w+)`?", reference, re.MULTILINE)}
    cells = [row[1] for _, row in ROWS if row[0].startswith("`--")]
    assert len(cells) > 5
    assert {name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)} <= known


def test_blocks_and_variables_of_templates():
    from rules_bento.bentos.assembly.env import dockerfile

    recipe = dockerfile.Recipe("base", "install")
    assert set(dockerfile.blocks(recipe, dockerfile.ContainerLayout())) <= NAMED
    variables = "uid_gid user home path add_header buildkit_frontend enable_buildkit entrypoint"
    assert {f"bento__{name}" for name in variables.split()} <= NAMED


def test_each_row_has_tests():
    assert [(section, row[0]) for section, row in ROWS] == [
        (section, row) for section in TESTS for row in TESTS[section]
    ]
    assert all(len(row) == 3 for _, row in ROWS)


def test_the_tests_of_rows_exist():
    for tested in {tested for rows in TESTS.values() for tested in rows.values()} - {"see below"}:
        cases = re.findall(r"\[(\w+)]", tested)
        tests = re.findall(r"(test_\w+\.py)(?:::(\w+))?", tested)
        assert cases or tests or "differential" in tested, f"{tested}: not tested"
        for case in cases:
            assert (HERE / "golden" / "options" / f"{case}.txt").exists(), case
        for file, function in tests:
            texts = [path.read_text("utf-8") for path in HERE.rglob(file)]
            assert any(not function or f"def {function}(" in text for text in texts), f"{file}: {function}"


def test_differences_are_explained():
    from tests.helpers.golden_bentos import CHANGED, ONLY_OURS, REFUSED

    for case in {*CHANGED, *ONLY_OURS, *REFUSED}:
        assert case in EXPLAINED, case
        assert EXPLAINED[case] in TEXT, case


EXPLAINED = {
    "abs_symlink": "absolute links, and links that lead nowhere",
    "base_image": "no `apt-get` in an image that may have none",
    "cuda_alpine": "Python comes from uv",
    "dangling_symlink": "absolute links, and links that lead nowhere",
    "distro_amazonlinux": "`amazonlinux`, at which BentoML always fails",
    "distro_ubi8": "the first command of `ubi8` does not wait",
    "docker_env_dict": "which ignores it in BentoML, it becomes `envs`",
    "img_alpine": "the default command appears once",
    "img_amazon": "the default command appears once",
    "img_evolve": "scripts are copied",
    "img_no_bentofile": "the default command appears once",
    "img_plus_bentofile_nopost": "the default command appears once",
    "img_uvlock": "`uv_lock()` is kept",
    "models_key": "A model that is not listed in `models`",
    "no_bentofile": "a build never resolves",
    "src_layout_pathed": "`src.pkg:Svc` with a src layout",
    "unknown_key": "Unknown keys, unknown values",
}
