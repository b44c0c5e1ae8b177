"""Projects of BentoML as BUILD and MODULE lines, and what is said about the rest."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from projects import write_project
from rules_bento.bento.migrate import migrate
from rules_bento.errors import BentoError
from test_bento import BENTO_PROJECTS, store_of

SERVICE = """\
import bentoml


@bentoml.service
class Svc:
    pass
"""


def project(folder: Path, bentofile: str, service: str = SERVICE, **files: str) -> Path:
    return write_project(folder / "project", {"files": {"bentofile.yaml": bentofile, **files}}, service)


@pytest.fixture
def iris(tmp_path):
    folder = write_project(tmp_path / "iris", BENTO_PROJECTS["iris_svc_models_alias"], "")
    return migrate(folder, "svc/iris", store=store_of(tmp_path / "models"))


def test_build_file(iris):
    assert (
        iris.build
        == """\
load("@rules_bento//rules:defs.bzl", "bento_model", "bento_package")

bento_model(
    name = "raw_model",
    srcs = glob(["models/raw_model/**"]),
    context = {
        "bentoml_version": "1.4.40",
        "python_version": "3.11.7",
    },
    labels = {"k": "v"},
    metadata = json.encode({"x": 1}),
    strip_prefix = "models/raw_model",
    tag = "raw_model:v1",
)

bento_model(
    name = "iris_clf",
    srcs = glob(["models/iris_clf/**"]),
    alias = "prod",
    context = {
        "bentoml_version": "1.4.40",
        "python_version": "3.11.7",
    },
    framework_versions = {"scikit-learn": "1.9.1"},
    labels = {"team": "spec"},
    metadata = json.encode({
        "acc": 0.97,
        "n": 150,
    }),
    module = "bentoml.sklearn",
    signatures = json.encode({"predict": {
        "batchable": True,
        "batch_dim": [
            0,
            0,
        ],
    }}),
    strip_prefix = "models/iris_clf",
    tag = "iris_clf",
)

bento_package(
    name = "iris_svc_bento",
    srcs = glob(
        ["**"],
        exclude = [
            "BUILD.bazel",
            "models/iris_clf/**",
            "models/raw_model/**",
            "requirements.in",
            "requirements.lock",
        ],
    ),
    bentofile = "bentofile.yaml",
    models = [
        ":raw_model",
        ":iris_clf",
    ],
    requirements = ["@pypi//bentoml"],
    service = "service:Iris",
)
"""
    )


def test_module_file(iris):
    assert (
        iris.module
        == """\
bazel_dep(name = "rules_bento", version = "0.1.0")

bento = use_extension("@rules_bento//toolchains:extensions.bzl", "bento")
bento.pypi(
    name = "pypi",
    lock = "//svc/iris:requirements.lock",
    platforms = ["linux_x86_64"],
    python_version = "3.11",
)
use_repo(bento, "pypi")
"""
    )


def test_a_project_that_is_a_workspace(tmp_path):
    """Nothing of Bazel's becomes a source, and Bazel walks neither its own links nor environments."""
    folder = project(tmp_path, "service: service:Svc\n", **{".venv/x.py": "", "uv.lock": ""})
    made = migrate(folder)
    assert made.ignore == "bazel-bin\nbazel-out\nbazel-testlogs\nbazel-project\n.venv\n"
    excluded = re.search(r"exclude = \[(.*?)\]", made.build, re.DOTALL)[1]
    assert re.findall(r'"(.+)"', excluded) == [
        ".bazelignore",
        ".bazelrc",
        ".bazelversion",
        "BUILD.bazel",
        "MODULE.bazel",
        "MODULE.bazel.lock",
    ]
    assert made.ignore in made.text()
    assert migrate(folder, "svc").ignore == ""
    assert 'exclude = ["BUILD.bazel"],' in migrate(folder, "svc").build


def test_text_is_all_of_it(iris):
    text = iris.text()
    assert iris.build in text
    assert iris.module in text
    assert iris.requirements in text
    assert all(f"# - {note}\n" in text for note in iris.notes)


def test_buildifier_has_nothing_to_add(iris):
    buildifier = shutil.which("buildifier")
    if buildifier is None:
        pytest.skip("buildifier is not at hand")
    for kind, text in (("build", iris.build), ("module", iris.module)):
        command = [buildifier, f"--type={kind}", "--mode=check", "--lint=warn"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_project_is_left_alone(tmp_path):
    folder = write_project(tmp_path / "iris", BENTO_PROJECTS["iris_svc"], "")
    store = store_of(tmp_path / "models")

    def state():
        paths = [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]
        return [(path, hashlib.sha256(path.read_bytes()).digest(), path.stat().st_mtime_ns) for path in paths]

    before = state()
    migrate(folder, store=store)
    assert state() == before


@pytest.mark.parametrize(
    ("bentofile", "files", "expected"),
    [
        ("python: {packages: [idna, 'Scikit_Learn>=1']}", {}, ["idna", "Scikit_Learn>=1", "bentoml==1.4.39"]),
        ("python: {packages: ['bentoml[io]==1.4.40']}", {}, ["bentoml[io]==1.4.40"]),
        (
            "python: {requirements_txt: r.txt}",
            {"r.txt": "-r more.txt\nidna # x\n\n", "more.txt": "# c\nattrs\n"},
            ["attrs", "idna", "bentoml==1.4.39"],
        ),
    ],
)
def test_packages(tmp_path, bentofile, files, expected):
    made = migrate(project(tmp_path, bentofile, **files))
    assert made.requirements.splitlines() == expected
    names = [re.split(r"[\[=<>]", line)[0].lower().replace("-", "_") for line in expected]
    assert re.findall(r'"@pypi//(\w+)"', made.build) == sorted(names)
    assert any("has no lock" in note for note in made.notes)


@pytest.mark.parametrize("lock", ["uv.lock", "pylock.toml", "requirements.lock"])
def test_a_lock_that_is_there_is_taken(tmp_path, lock):
    made = migrate(project(tmp_path, "python: {packages: [idna]}", **{lock: ""}), "svc")
    assert f'lock = "//svc:{lock}"' in made.module
    assert made.requirements == ""
    assert not any("has no lock" in note for note in made.notes)


def test_requirements_with_hashes_are_a_lock(tmp_path):
    text = "bentoml==1.4.40 \\\n    --hash=sha256:00\nidna==3.20 \\\n    --hash=sha256:00\n"
    made = migrate(project(tmp_path, "python: {requirements_txt: r.txt}", **{"r.txt": text}))
    assert 'lock = "//:r.txt"' in made.module
    assert re.findall(r'"@pypi//(\w+)"', made.build) == ["bentoml", "idna"]


def test_python_version(tmp_path):
    made = migrate(project(tmp_path, "docker: {python_version: 3.13}"))
    assert 'python_version = "3.13"' in made.module
    assert 'python_version = "3.13"' in made.build


def test_a_project_without_a_bentofile(tmp_path):
    made = migrate(write_project(tmp_path / "p", {}, SERVICE))
    assert 'service = "service:Svc"' in made.build
    assert "bentofile" not in made.build
    assert any("BentoML finds it" in note for note in made.notes)


def test_large_files_are_data(tmp_path):
    folder = project(tmp_path, "service: service:Svc\nexclude: [left_out.bin]\n", **{"table.csv": "1,2"})
    for name in ("weights.bin", "left_out.bin"):
        (folder / name).write_bytes(bytes(10_000_000))
    build = migrate(folder, "svc").build
    assert 'data = ["weights.bin"],' in build
    assert build.count("weights.bin") == 2, "it is no source"
    assert "left_out.bin" not in build
    assert "table.csv" not in build


def test_services_that_the_source_does_not_state(tmp_path):
    service = SERVICE.replace("@bentoml.service", "@bentoml.service(name=open('n').read())")
    made = migrate(project(tmp_path, "name: x", service))
    assert 'services = {"Svc": []}' in made.build
    assert any("Set 'services' of bento_package" in note for note in made.notes)


@pytest.mark.parametrize(
    ("bentofile", "note"),
    [
        ("python: {packages: [idna], pip_args: --pre}", "Not carried over: .*'--pre' cannot be carried"),
        ("docker: {setup_script: missing.sh}", "Not carried over: .*'missing.sh' is not among the files"),
        ("python: {packages: ['x @ git+https://g.example/x']}", "a git repository is no package of a hub"),
        ("python: {index_url: 'https://i.example'}", "say where an image build gets packages"),
        ("python: {lock_packages: true}", "locked by the hub"),
        ("models: [{tag: 'a:latest', filter: 'label:x'}]", "the filter 'label:x' chooses"),
        ("models: ['a:v1']", "a:v1 \\(it is not in the store\\)"),
        ("include: ['../x/*.py', '*.py']", "include"),
    ],
)
def test_what_is_left(tmp_path, bentofile, note):
    try:
        notes = migrate(project(tmp_path, bentofile), store=tmp_path).notes
    except BentoError as error:
        notes = (str(error),)
    assert any(re.search(note, said) for said in notes), notes


def test_a_bentofile_that_cannot_be_read(tmp_path):
    with pytest.raises(BentoError, match=r"^bentofile.yaml:1: servce is no option"):
        migrate(project(tmp_path, "servce: x"))
