"""Projects of BentoML as BUILD and MODULE lines, and what is said about the rest."""

import ast
import errno
import random
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import pytest
from bento_cli.cli import main
from bento_cli.projects import starlark
from bento_cli.projects import workspace as workspaces
from bento_cli.projects.migrate import migrate, write
from rules_bento.base.archives import atomic
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages.requirement_files import RequirementSource
from rules_bento.bentos.packages.requirement_files import read as read_sources

from tests.helpers.golden_bentos import BENTO_PROJECTS, store_of
from tests.helpers.projects import write_project
from tests.helpers.store_support import model_files, tree

ZEROS = "0" * 64
SERVICE = """\
import bentoml


@bentoml.service
class Svc:
    pass
"""


CONFLICTS = """\
version = 1
requires-python = ">=3.11"
conflicts = [[
    { package = "p", extra = "cpu" },
    { package = "p", extra = "gpu" },
]]

[[package]]
name = "torch"
version = "2.0"
source = { registry = "https://i.example/simple" }

[[package]]
name = "bentoml"
version = "1.4.39"
source = { registry = "https://i.example/simple" }

[[package]]
name = "p"
version = "0"
source = { virtual = "." }

[package.optional-dependencies]
cpu = [{ name = "torch" }]
gpu = [{ name = "torch" }]
"""


def project(directory: Path, bentofile: str, service: str = SERVICE, **files: str) -> Path:
    return write_project(directory / "project", {"files": {"bentofile.yaml": bentofile, **files}}, service)


@pytest.fixture
def iris(tmp_path):
    directory = write_project(tmp_path / "iris", BENTO_PROJECTS["iris_svc_models_alias"], "")
    return migrate(directory, "svc/iris", store=store_of(tmp_path / "models"))


def test_build_file(iris):
    assert (
        iris.build
        == """\
load("@rules_bento//rules:defs.bzl", "bento_model", "bento_requirements", "bento_service")

bento_model(
    name = "raw_model",
    srcs = glob(["models/raw_model/**"]),
    strip_prefix = "models/raw_model",
)

bento_model(
    name = "iris_clf",
    srcs = glob(["models/iris_clf/**"]),
    alias = "prod",
    strip_prefix = "models/iris_clf",
)

bento_service(
    name = "iris_svc",
    srcs = glob(
        ["**"],
        exclude = [
            "BUILD.bazel",
            "models/iris_clf/**",
            "models/raw_model/**",
            "requirements.in",
            "requirements.lock.json",
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

bento_requirements(
    name = "requirements",
    srcs = ["requirements.in"],
    platforms = ["linux_amd64"],
    requires_python = "==3.11.*",
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
    lock = "//svc/iris:requirements.lock.json",
    platforms = ["linux_amd64"],
    python_version = "3.11",
)
use_repo(bento, "pypi")
"""
    )


def test_buildifier_has_nothing_to_add(iris):
    buildifier = shutil.which("buildifier")
    if buildifier is None:
        pytest.skip("buildifier is not at hand")
    for kind, text in (("build", iris.build), ("module", iris.module)):
        command = [buildifier, f"--type={kind}", "--mode=check", "--lint=warn"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


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
    targets = re.findall(r'"@pypi//([\w:]+)"', made.build)
    assert targets == sorted(f"{name}:io" if "bentoml[io]" in expected[0] else name for name in names)
    assert any("has no lock" in note for note in made.notes)


@pytest.mark.parametrize(
    ("lock", "text"),
    [
        ("uv.lock", 'name = "bentoml"\nname = "typing-extensions-x"\n'),
        ("requirements.lock", f"bentoml==1.4.39 --hash=sha256:{ZEROS}\nx-typing-extensions==1\n"),
    ],
)
def test_a_lock_without_required_packages_is_not_used(tmp_path, lock, text):
    """BentoML installs the packages of the bentofile, which can be others than those of the development environment."""
    packages = "python: {packages: [Typing.Extensions, 'colorama; sys_platform == \"win32\"']}"
    directory = project(tmp_path, packages, **{lock: text})
    made = migrate(directory)
    assert f"Packages: {lock} isn't used, because it doesn't contain typing-extensions." in made.notes
    assert 'lock = "//:requirements.lock.json"' in made.module
    assert "Typing.Extensions\n" in made.requirements
    (directory / lock).write_text(
        text + ('name = "typing-extensions"\n' if lock == "uv.lock" else "typing_extensions==4.1\n")
    )
    assert f'lock = "//:{lock}"' in migrate(directory).module


def test_requirements_with_hashes_are_a_lock(tmp_path):
    text = f"bentoml==1.4.40 \\\n    --hash=sha256:{ZEROS}\nidna==3.20 \\\n    --hash=sha256:{ZEROS}\n"
    made = migrate(project(tmp_path, "python: {requirements_txt: r.txt}", **{"r.txt": text}))
    assert 'lock = "//:r.txt"' in made.module
    assert re.findall(r'"@pypi//(\w+)"', made.build) == ["bentoml", "idna"]


def test_a_project_without_a_bentofile(tmp_path):
    made = migrate(write_project(tmp_path / "p", {}, SERVICE))
    assert 'service = "service:Svc"' in made.build
    assert "bentofile" not in made.build
    assert any("the rule specifies" in note for note in made.notes)


def test_large_files_are_data(tmp_path):
    directory = project(tmp_path, "service: service:Svc\nexclude: [left_out.bin]\n", **{"table.csv": "1,2"})
    for name in ("weights.bin", "left_out.bin"):
        (directory / name).write_bytes(bytes(10_000_000))
    build = migrate(directory, "svc").build
    assert 'data = ["weights.bin"],' in build
    assert build.count("weights.bin") == 2, "it is no source"
    assert "left_out.bin" not in build
    assert "table.csv" not in build


def test_a_service_that_is_unknown_is_imported(tmp_path):
    conditional = SERVICE.replace(
        "import bentoml",
        "import bentoml\nimport os\nif os.environ.get('X'):\n    from x import s\nelse:\n    s = bentoml.service\n",
    )
    conditional = conditional.replace("@bentoml.service", "@s")
    made = migrate(project(tmp_path / "conditional", "name: x", conditional))
    assert 'name = "x"' in made.build
    for number, (service, name) in enumerate([("service:Svc", "svc"), ("service:ImgSvc", "img_svc"), ("", "project")]):
        text = f"service: {service}" if service else "{}"
        unnamed = migrate(project(tmp_path / str(number), text, conditional.replace("Svc", service[8:] or "Svc")))
        assert f'name = "{name}"' in unnamed.build
    assert '    service_metadata = "import",\n' in made.build
    assert not any("Not migrated" in note for note in made.notes)


@pytest.mark.parametrize(
    ("bentofile", "note"),
    [
        (
            "python: {packages: [idna], pip_args: --pre}",
            "Not migrated: bentofile.yaml:1: .*spec 2 doesn't support '--pre'.*--spec 1",
        ),
        ("docker: {setup_script: missing.sh}", "Not migrated: .*'missing.sh' isn't a file in the build context"),
        ("python: {packages: ['./own']}", r"packages: './own' is a local path\. Add .* with bento_wheel"),
        ("python: {requirements_txt: r.txt}", "unsupported option -e. The option installs a directory"),
        ("models: ['Models-Of:V1']", r"models-of:v1 isn't in the store.*module, labels, and fields_file"),
        (
            "python: {pip_args: '--no-deps', packages: [six]}",
            "pip_args: package hubs don't support --no-deps.*overrides",
        ),
        ("models: [{tag: 'a:latest', filter: 'label:x'}]", "the filter 'label:x' applies"),
        ("include: ['../x/*.py', '*.py']", "include"),
    ],
)
def test_what_is_left(tmp_path, bentofile, note):
    try:
        notes = migrate(project(tmp_path, bentofile, **{"r.txt": "idna\n-e ./own\n"}), store=tmp_path).notes
    except BentoError as error:
        notes = (str(error),)
    assert any(re.search(note, said) for said in notes), notes


@pytest.mark.parametrize(
    ("lock", "text", "targets"),
    [
        ("uv.lock", 'name = "bentoml"\n', ["bentoml:io"]),
        ("pylock.toml", 'name = "bentoml"\n', ["bentoml"]),
        ("requirements.lock", f"bentoml[io]==1.4.39 --hash=sha256:{ZEROS}\n", ["bentoml:io"]),
    ],
)
def test_a_lock_without_extras_has_no_targets_for_them(tmp_path, lock, text, targets):
    made = migrate(project(tmp_path, "python: {packages: ['bentoml[io]']}", **{lock: text}))
    assert re.findall(r'"@pypi//(.+)"', made.build) == [] or re.findall(r"@pypi//([\w:]+)", made.build) == targets
    assert any("has no extras" in note for note in made.notes) == (targets == ["bentoml"])


@pytest.mark.parametrize(
    ("bentofile", "files", "version"),
    [
        ("docker: {python_version: '3.12.4'}", {}, "3.12"),
        ("service: service:Svc", {"pyproject.toml": "[project]\nname = 'x'\nrequires-python = '>=3.12'\n"}, "3.12"),
        ("service: service:Svc", {"pyproject.toml": "[project]\nname = 'x'\nrequires-python = '<3.11'\n"}, "3.10"),
        ("service: service:Svc", {}, "3.11"),
    ],
)
def test_hub_and_lock_are_for_the_python_of_the_project(tmp_path, bentofile, files, version):
    made = migrate(project(tmp_path, bentofile, **files), "svc")
    assert f'python_version = "{version}"' in made.module
    assert f'requires_python = "=={version}.*"' in made.build
    assert any("run `bazel run //svc:requirements.update`" in note for note in made.notes)


def test_constraints_and_indexes_go_where_the_lock_is_made(tmp_path):
    text = "python: {requirements_txt: r.txt, index_url: 'https://i.example/simple', trusted_host: [i.example]}"
    files = {"r.txt": "-c limits.txt\n--find-links https://l.example\nidna\n", "limits.txt": "idna<4\n"}
    made = migrate(project(tmp_path, text, **files, **{"requirements.in": "of the project's own\n"}))
    assert made.requirements.splitlines() == ["--find-links https://l.example", "idna", "bentoml==1.4.39"]
    assert made.constraints == "idna<4\n"
    assert made.names == ("bento_requirements.in", "bento_constraints.in")
    assert 'constraints = ["bento_constraints.in"]' in made.build
    for printed in (made.build, made.module):
        assert 'index_url = "https://i.example/simple"' in printed
        assert 'trusted_hosts = ["i.example"]' in printed
    assert "# bento_constraints.in\nidna<4\n" in made.text()


def test_a_hub_has_the_indexes_of_a_requirements_file(tmp_path):
    """A hub fetches only from the indexes of its tag."""
    options = "--extra-index-url https://cpu.example/whl\n-i https://own.example/simple\n--trusted-host own.example\n"
    text = "python: {requirements_txt: r.txt, extra_index_url: ['https://first.example/simple']}"
    made = migrate(project(tmp_path, text, **{"r.txt": f"{options}-f wheels\n-f https://l.example\nidna\n"}))
    printed = " ".join(made.module.split())
    assert 'index_url = "https://own.example/simple"' in printed
    assert '"https://first.example/simple", "https://cpu.example/whl",' in printed
    assert 'find_links = ["https://l.example"]' in printed
    assert 'trusted_hosts = ["own.example"]' in printed
    assert "cpu.example" not in made.build, "bento_requirements reads the options in the file"


@pytest.mark.parametrize(
    ("text", "own", "generated"),
    [
        ("python: {packages: [idna, 'bentoml<1.4']}", {}, ["requirements.in", "constraints.in"]),
        (
            "python: {requirements_txt: requirements.in}",
            {"requirements.in": "idna\n-c limits.txt", "limits.txt": "idna<4\n"},
            ["bento_requirements.in", "bento_constraints.in"],
        ),
    ],
)
def test_files_of_a_migration_are_no_sources_of_the_next_one(tmp_path, text, own, generated):
    directory = project(tmp_path, text, **own)
    first = migrate(directory)
    write(first, directory, directory)
    (directory / "requirements.lock.json").write_bytes(bytes(10_000_000))
    paths = [directory / "BUILD.bazel", directory / "MODULE.bazel", *(directory / name for name in generated)]
    written = [path.read_text() for path in paths]
    second = migrate(directory, workspace=workspaces.read_root(directory))
    assert second.build == first.build
    assert second.names == first.names
    assert "Packages: if the requirements changed, run `bazel run //:requirements.update`." in second.notes
    write(second, directory, directory, force=True)
    assert [path.read_text() for path in paths] == written
    assert all(f'"{name}",' in second.build for name in (*generated, "requirements.lock.json"))

    bentofile = directory / "bentofile.yaml"
    bentofile.write_text(text.replace("[idna,", "[attrs,"), "utf-8")
    assert ("attrs" in migrate(directory, workspace=workspaces.read_root(directory)).requirements) is not own
    bentofile.write_text(f"python: {{requirements_txt: {generated[0]}}}\n", "utf-8")
    adopted = migrate(directory, workspace=workspaces.read_root(directory))
    assert f'"{generated[0]}"' not in adopted.build, "the project reads the file"


MODULE = """\
bazel_dep(name = "rules_bento", version = "0.1.0")
bazel_dep(name = "rules_python", version = "1", repo_name = "pypi_other")
b = use_extension("@rules_bento//toolchains:extensions.bzl", "bento")
b.pypi(name = "pypi", lock = "//locks:requirements.lock.json")
b.pypi(
    name = "ours",
    lock = "//svc:requirements.lock.json",
)
use_repo(b, "ours", "pypi", renamed = "base")
"""


def test_a_workspace_declares_nothing_twice(tmp_path):
    directory = project(tmp_path, "service: service:Svc")
    declared = workspaces.read(MODULE, "MODULE.bazel")
    new = migrate(directory, "more/a-b", workspace=declared)
    assert new.module.splitlines()[0] == "b.pypi("
    assert 'name = "pypi_a_b"' in new.module
    assert new.module.endswith('use_repo(b, "pypi_a_b")\n')
    assert '"@pypi_a_b//bentoml"' in new.build
    assert 'name = "pypi_other_2"' in migrate(directory, "other", workspace=declared).module
    assert 'name = "mine"' in migrate(directory, "other", workspace=declared, hub="mine").module

    moved = migrate(directory, "svc", workspace=declared)
    assert (moved.module, moved.requirements) == ("", "")
    assert '"@ours//bentoml"' in moved.build

    shared = migrate(directory, "other", workspace=declared, hub="pypi")
    assert (shared.module, shared.requirements) == ("", "")
    assert "bento_requirements" not in shared.build
    assert any("make sure that the lock of @pypi has bentoml==1.4.39" in note for note in shared.notes)
    with pytest.raises(BentoError, match=r"--hub: another repository in MODULE.bazel is already named 'renamed'"):
        migrate(directory, "other", workspace=declared, hub="renamed")


def test_a_module_file_that_cannot_be_read_is_reported_by_line():
    with pytest.raises(BentoError, match=r"^MODULE\.bazel:2: cannot parse the file: "):
        workspaces.read("module(name = 'x')\nbazel_dep(\n", "MODULE.bazel")


@pytest.mark.parametrize(
    "statement",
    [
        lambda depth: "x" + ".b" * depth + "(1)",
        lambda depth: "use_repo(" + "-" * depth + "x)",
        lambda depth: f'bento.pypi(name = "a", lock = {"-" * depth}1)\nbento.pypi(name = "a", lock = 1)',
        lambda depth: "x" + "(1)" * depth,
        lambda depth: "[" * depth,
        lambda depth: "x = " + "+".join(["1"] * depth),
    ],
)
def test_a_module_file_that_is_deep_is_read_or_rejected(statement):
    for depth in (300, 600, 900, 1200, 1500, 2000, 3000, 10000):
        module = f'bento = use_extension("@rules_bento//toolchains:extensions.bzl", "bento")\n{statement(depth)}\n'
        try:
            workspaces.read(module, "MODULE.bazel")
        except BentoError as error:
            assert "MODULE.bazel" in str(error)


def test_a_model_that_is_in_the_project_as_an_entry_is_imported(tmp_path):
    made = migrate(project(tmp_path, "models: ['m:v1']", **{"models/m/model.yaml": "name: m\nversion: v1\n"}))
    assert re.search(r'bento_model\(\n    name = "m",\n    srcs = glob\(\["models/m/\*\*"\]\),', made.build)
    assert not any("m:v1" in note and "store" in note for note in made.notes)


@pytest.mark.parametrize(
    "service",
    [
        "model = bentoml.sklearn.get('Clf:latest')\n@bentoml.service\nclass Svc:\n    of = model\n",
        "svc = bentoml.legacy.Service('s', runners=[bentoml.onnx.get('Clf:latest').to_runner()])\n",
        "class Base:\n    of = bentoml.models.BentoModel('Clf')\n@bentoml.service\nclass Svc(Base):\n    pass\n",
    ],
)
def test_models_that_an_import_requires_become_targets(tmp_path, service):
    rest = "def load():\n    return bentoml.models.get('other')\n"
    name = re.search(r"(\w*[sS]vc)\b", service)[1]
    made = migrate(project(tmp_path, f"service: service:{name}", f"import bentoml\n{service}{rest}"), store=tmp_path)
    assert 'models = [":clf"]' in made.build
    assert 'service_metadata = "import"' in made.build
    assert any("clf" in note and "isn't in the store" in note for note in made.notes)
    assert "other" not in made.text()


def test_the_command_that_copies_a_model_needs_only_a_shell(tmp_path):
    store = tmp_path / "a store"
    for path, content in model_files("clf:v1").items():
        (place := store / "clf/v1" / path).parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    directory = project(tmp_path, "service: service:Svc\nmodels: [clf]")
    [command] = [note.partition("entry: ")[2] for note in migrate(directory, store=store).notes if "clf" in note]
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    assert tree(tmp_path / "models/clf") == tree(store / "clf/v1")


def test_a_clone_needs_an_override(tmp_path):
    directory = project(tmp_path, "service: service:Svc")
    note = "Module: add a local_path_override with the path of your clone of rules_bento."
    assert note in migrate(directory).notes
    declared = workspaces.read('bazel_dep(name = "rules_bento", version = "0.1.0")\n', "MODULE.bazel")
    assert note not in migrate(directory, workspace=declared).notes


def test_a_revision_that_moves_is_one_thing_to_do(tmp_path):
    body = (
        "class Svc:\n    tiny = bentoml.models.HuggingFaceModel('Acme/Tiny')\n    at = bentoml.models.HuggingFaceModel("
    )
    service = SERVICE.replace("class Svc:\n    pass\n", f"{body}'Acme/Tiny', revision='v2')\n")
    notes = [note for note in migrate(project(tmp_path, "service: service:Svc", service)).notes if "Acme" in note]
    assert len(notes) == 2
    at, tiny = sorted(notes, key=lambda note: "'main'" in note)
    hub = r"--endpoint https://[\w.]+"
    assert re.match(rf"Models: service\.py:6: Svc\.tiny uses 'main' of Acme/Tiny.*pin Acme/Tiny {hub}`", tiny)
    assert re.match(rf"Models: service\.py:7: Svc\.at uses 'v2' of Acme/Tiny.*pin Acme/Tiny@v2 {hub}`", at)


def test_a_revision_is_requested_where_the_source_has_it(tmp_path):
    arguments = "'Acme/Tiny', endpoint='https://hf.example', include=['*.json', 'a b*'], exclude=['x*']"
    service = SERVICE.replace("    pass\n", f"    m = bentoml.models.HuggingFaceModel({arguments})\n")
    notes = "\n".join(migrate(project(tmp_path, "service: service:Svc", service)).notes)
    asked = (
        "`bento models pin Acme/Tiny --endpoint https://hf.example --include '*.json' --include 'a b*' --exclude 'x*'`"
    )
    assert asked in notes


@pytest.mark.parametrize("name", ["BUILD", "BUILD.bazel"])
def test_what_is_in_packages_below_is_said_for_no_glob_takes_it(tmp_path, name):
    files = {f"data/{name}": "", "data/deep/table.csv": "1", f"empty/{name}": "", name: ""}
    notes = migrate(project(tmp_path, "service: service:Svc", **files)).notes
    told = [note for note in notes if name in note]
    assert re.match(rf"{name}: the file exists", told[0])
    assert re.match(rf"Sources: data/{name} makes data/ a separate package, .* data/deep/table\.csv", told[1])
    assert len(told) == 2


def test_hubs_of_included_module_files_are_known(tmp_path):
    hub = (
        'x = use_extension("@rules_bento//toolchains:extensions.bzl", "bento")\nx.pypi(name = "{0}", lock = "//:{0}")\n'
    )
    (tmp_path / "MODULE.bazel").write_text('module(name = "m")\ninclude("//third:a.MODULE.bazel")\n')
    (tmp_path / "third").mkdir()
    (tmp_path / "third/a.MODULE.bazel").write_text(f"{hub.format('pypi')}include('//:b.MODULE.bazel')\n")
    (tmp_path / "b.MODULE.bazel").write_text(f"{hub.format('second')}include('//:MODULE.bazel')\n")
    found = workspaces.read_root(tmp_path)
    assert found.hubs == {"pypi": "//:pypi", "second": "//:second"}
    assert (found.extension, found.free_name("svc")) == ("", "pypi_svc")


def test_what_only_the_source_can_state_is_said(tmp_path):
    body = "class Svc:\n    m = bentoml.models.HuggingFaceModel(os.environ['M'], 'a' * 40)\n"
    service = "import os\n\n" + SERVICE.replace("class Svc:\n    pass\n", body)
    first, note = [
        note for note in migrate(project(tmp_path, "service: service:Svc", service)).notes if "Service" in note
    ]
    assert '(service_metadata = "import")' in first
    assert note.startswith("Service: service.py:8: service `Svc`: ")


def test_the_indexes_of_a_uv_lock(tmp_path):
    """Those of its pyproject.toml, and which package comes from which, if from one alone."""
    directory = project(tmp_path, "python: {packages: [torch]}", **{
        "uv.lock": CONFLICTS,
        "pyproject.toml": """\
[project]
name = "p"
requires-python = "==3.12.7"
[tool.uv.sources]
Torch = { index = "cuda" }
both = [{ index = "cuda", extra = "a" }, { index = "cpu", extra = "b" }]
code = { git = "https://h.example/r" }
[[tool.uv.index]]
name = "cuda"
url = "https://cuda.example/simple"
explicit = true
[[tool.uv.index]]
url = "https://own.example/simple"
default = true
""",
    })  # fmt: skip
    made = migrate(directory, store=tmp_path)
    assert 'indexes = ["cuda=https://cuda.example/simple"]' in " ".join(made.module.split())
    assert 'index_url = "https://own.example/simple"' in made.module
    assert 'explicit = {"torch": "cuda"}' in made.module
    assert 'python_version = "3.12"' in made.module
    assert any('uv.lock has conflicts, so bento.pypi selects extras = ["cpu"].' in note for note in made.notes)
    assert 'extras = ["cpu"],' in made.module
    unrecorded = "the Bento doesn't record the default index of pyproject.toml"
    assert any(unrecorded in note for note in made.notes)
    options = "python: {packages: [torch], index_url: 'https://own.example/simple'}"
    (directory / "bentofile.yaml").write_text(options, "utf-8")
    assert not any(unrecorded in note for note in migrate(directory, store=tmp_path).notes)


def test_settings_of_uv_that_the_lock_ignores_are_noted(tmp_path):
    text = '[project]\nname = "p"\ndependencies = ["idna"]\n[dependency-groups]\ndev = ["pytest"]\n[tool.uv]\n'
    text += 'package = false\nexclude-newer = "2026-01-01"\nprerelease = "allow"\n'
    directory = project(tmp_path, "python: {packages: [idna]}", **{"pyproject.toml": text})
    made = migrate(directory, store=tmp_path)
    [note] = [note for note in made.notes if "tool.uv" in note]
    assert note.startswith(
        "Packages: the lock ignores tool.uv.exclude-newer, tool.uv.prerelease of pyproject.toml. Add"
    )
    (directory / "requirements.in").write_text(made.requirements)
    sources = [RequirementSource(directory / name, name) for name in ("requirements.in", "pyproject.toml")]
    declared = read_sources(sources, extras=[], groups=[])
    assert list(declared.requirements) == made.requirements.split() == ["idna", "bentoml==1.4.39"]
    assert declared.settings == {"exclude-newer": '"2026-01-01"', "prerelease": '"allow"'}
    (directory / "pyproject.toml").write_text(text.partition("exclude")[0])
    assert not any("tool.uv" in note for note in migrate(directory, store=tmp_path).notes)


BUILT_IMAGE = """\
import bentoml


def image():
    made = bentoml.images.Image(python_version="3.12").requirements_file("requirements.txt")
    if NIGHTLY:
        made = made.python_packages("numpy>=2").requirements_file("nightly.txt").python_packages(*PACKAGES)
    return made


@bentoml.service(image=image())
class Svc:
    pass
"""


def test_packages_of_an_image_that_code_determines(tmp_path):
    made = migrate(project(tmp_path, "{}\n", BUILT_IMAGE, **{"requirements.txt": "vllm==0.11.0\nbentoml==1.4.25\n"}))
    assert made.requirements == "numpy>=2\nvllm==0.11.0\nbentoml==1.4.25\n"
    assert (
        'requirements = [\n        "@pypi//bentoml",\n        "@pypi//numpy",\n        "@pypi//vllm",\n' in made.build
    )
    assert 'python_version = "3.12"' in made.module
    assert "Packages: check the requirements, because code in service.py determines the image." in made.notes
    assert any('sets bento_tools.python(version = "3.12")' in note for note in made.notes)


@pytest.mark.parametrize(
    ("bentoml", "limits"),
    [("==1.3.5", "setuptools<82\n"), ("<1.4", "setuptools<82\n"), (">=1.3.11", ""), ("==1.4.20", ""), ("", "")],
)
def test_a_bentoml_that_a_new_setuptools_breaks(tmp_path, bentoml, limits):
    bentofile = f"service: service:Svc\npython:\n  packages: ['bentoml[io]{bentoml}', pandas]\n"
    made = migrate(project(tmp_path, bentofile))
    assert made.constraints == limits
    assert any("can't start with a newer setuptools" in note for note in made.notes) is bool(limits)


@pytest.mark.parametrize(("bentoml", "is_noted"), [("==1.3.5", True), ("==1.3.6", False), ("", False)])
def test_a_bentoml_that_cannot_be_imported(tmp_path, bentoml, is_noted):
    bentofile = f"service: service:Svc\npython:\n  packages: ['bentoml{bentoml}']\n"
    note = "Packages: importing the service requires BentoML 1.3.6 or later. Change the requirement."
    made = migrate(project(tmp_path, bentofile, f"{SERVICE}\n\nsetattr(Svc, 'x', 1)\n"))
    assert (note in made.notes) is is_noted
    assert note not in migrate(project(tmp_path / "static", bentofile)).notes


def test_a_bentofile_in_a_subdirectory_is_migrated(tmp_path):
    directory = tmp_path / "project"
    (directory / "serving").mkdir(parents=True)
    (directory / "serving" / "bentofile.yaml").write_text("service: serving.app:Svc\n", "utf-8")
    (directory / "serving" / "app.py").write_text(SERVICE, "utf-8")
    with pytest.raises(
        BentoError,
        match=r"add --bentofile serving/bentofile\.yaml\. Otherwise, run `bento migrate /.*/project/serving`\.",
    ):
        migrate(directory)
    assert 'service = "serving.app:Svc"' in migrate(directory, bentofile="serving/bentofile.yaml").build


@pytest.mark.parametrize(
    ("imported", "call", "found"),
    [
        ("from asgi_proxy import asgi_proxy", "asgi_proxy('http://127.0.0.1:1')", ["asgi_proxy_lib"]),
        ("import idna.apps as apps", "apps.make()", ["idna"]),
        ("import fastapi, idna", "fastapi.FastAPI(routes=idna.x)", []),
        ("import idna", "make(idna)", []),
    ],
)
def test_packages_that_make_a_mounted_application_are_imported(tmp_path, imported, call, found):
    bentofile = "service: service:Svc\npython:\n  packages: [asgi-proxy-lib, bentoml, fastapi, idna]\n"
    mounted = SERVICE.replace("@bentoml.service", f"app = {call}\n\n\n@bentoml.service\n@bentoml.asgi_app(app)")
    build = migrate(project(tmp_path, bentofile, f"{imported}\n{mounted}")).build
    assert re.findall(r"import_requirements = \[\"@pypi//(\w+)\"\]", build) == found
    assert 'service_metadata = "import"' in build


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import torch\nDEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'", ["torch"]),
        ("from torch import cuda\nhas = cuda.is_available()\nif has:\n    pass", ["torch"]),
        ("import torch\ndef device():\n    return 'gpu' if torch.x else ''\nDEVICE = device()", ["torch"]),
        ("import torch\ndef device():\n    return 'gpu' if torch.x else ''", []),
        ("import torch\nclass Config:\n    name = f'{torch.x}'", ["torch"]),
        ("import torch\nif __name__ == '__main__':\n    assert torch.x", []),
        ("import torch\nDEVICE = torch.device('cpu')", []),
        ("try:\n    from sklearn import svm\nexcept ImportError:\n    svm = None", ["scikit_learn"]),
        ("try:\n    from lib.net import Net\nexcept ImportError:\n    from net import Net", ["torch"]),
        ("from lib.net import Net", []),
        ("from lib.gpu import GPU", ["torch"]),
        ("import numpy\nassert numpy.x and bentoml", []),
        ("import pickle\nwith open('a') as file:\n    model = pickle.load(file)", ["scikit_learn"]),
        ("import pickle\ndef load(file):\n    return pickle.load(file)", []),
    ],
)
def test_packages_whose_values_the_import_requires(tmp_path, code, found):
    bentofile = "service: service:Svc\npython:\n  packages: [bentoml, numpy, scikit-learn, torch]\n"
    files = {
        "lib/net.py": "import torch.nn as nn\nclass Net(nn.Module): ...\n",
        "lib/gpu.py": "import torch\nGPU = not torch.x\n",
    }
    service = f"{code}\n{SERVICE}\n\nsetattr(Svc, 'x', 1)\n"
    build = migrate(project(tmp_path, bentofile, service, **files)).build
    assert re.findall(r"import_requirements = \[\"@pypi//(\w+)\"\]", build) == found


@pytest.mark.skipif(sys.version_info < (3, 12), reason="requires a parser for the syntax")
@pytest.mark.parametrize(
    ("code", "version"),
    [
        ("type Name = str", "3.12"),
        ("class Name[T]: ...", "3.12"),
        ("""f'{x['a']}'""", "3.12"),
        ("""f'{"\\n".join(x)}'""", "3.12"),
        ("""f'{x["a"]} \\n' '"' f"{x['a']:>{y}}" + f\'\'\'{"'"}\'\'\'""", "3.11"),
    ],
)
def test_python_version_of_the_syntax(tmp_path, code, version):
    service = f"def later():\n    {code}\n\n\n{SERVICE}"
    made = migrate(project(tmp_path, "service: service:Svc\n", service))
    assert f'python_version = "{version}"' in made.module
    needs = [note for note in made.notes if f"the analysis requires actions with Python {version}" in note]
    assert bool(needs) is (version != "3.11")
    older = project(tmp_path / "older", "service: service:Svc\ndocker: {python_version: '3.11'}\n", service)
    conflict = "Packages: the service has syntax of Python 3.12, but the project specifies Python 3.11."
    assert (conflict in migrate(older).notes) is (version != "3.11")


# Text of a project


def test_each_string_of_a_build_file_is_quoted():
    draw = random.Random(2)
    characters = "\"\\\n\r\t\0\x7f'\u2028é*a8"
    pieces = [*characters, "\x1b[31m", "]) + glob([", "{x}", "%s"]
    for _ in range(3000):
        one, other = ("".join(draw.choices(pieces, k=draw.randint(0, 8))) for _ in range(2))
        values = {
            "name": one,
            "srcs": starlark.glob(one, draw.choice([(), (other,)])),
            "tags": [one, other],
            "env": {one: other},
        }
        text = starlark.call("rule", values) + "\n" + starlark.load(["a", one], {"x": other})
        tree = ast.parse(text)
        functions = [node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert sorted(functions) == ["glob", "load", "rule"]
        constants = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert constants <= {one, other, starlark.RULES, "a"}
        assert {one} <= constants
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)


@pytest.mark.parametrize(
    ("service", "bentofile", "place"),
    [
        ("model = bentoml.sklearn.get({!r})\nS = bentoml.service(lambda: 1)\nSvc = S\n", "", r"service\.py:2"),
        ("@bentoml.service\nclass Svc:\n    of = bentoml.models.BentoModel({!r})\n", "", r"service\.py"),
        ("@bentoml.service\nclass Svc:\n    pass\n", "models: [{!r}]", r"bentofile\.yaml:2: models"),
    ],
)
@pytest.mark.parametrize(
    "tag", ['a/**"]) + ([genrule(name="pwn")] and []) + glob(["q', "../../x", "a b", "a:b:c", "a/b"]
)
def test_a_name_that_is_not_a_tag(tmp_path, service, bentofile, place, tag):
    options = f"service: service:Svc\n{bentofile.format(tag)}\n"
    directory = project(tmp_path, options, f"import bentoml\n{service.format(tag)}")
    with pytest.raises(BentoError, match=rf"^{place}: .*(the (name|version) in .* is invalid|model)"):
        migrate(directory, store=tmp_path)


def test_nothing_of_a_project_controls_the_terminal(tmp_path, monkeypatch, capsys):
    service = f"{SERVICE}    model = bentoml.models.HuggingFaceModel('a/b', revision='\\x1b]0;title\\x07')\n"
    directory = project(tmp_path, "service: service:Svc\nlabels: {a: b}\n", service)
    (directory / "MODULE.bazel").write_text(
        'bento = use_extension("@rules_bento//toolchains:extensions.bzl", "bento")\n'
        'bento.pypi(name = "p\\033[31mi", lock = "//:x.lock.json")\n'
    )
    monkeypatch.chdir(directory)
    for words in (["migrate"], ["doctor"], ["migrate", "--write"]):
        main([*words, "."])
        shown = capsys.readouterr()
        assert "\x1b" not in shown.out + shown.err
        assert "\x07" not in shown.out + shown.err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("MODULE.bazel", b"#" * (17 << 20)),
        (".bazelignore", b"a" * (17 << 20)),
        ("BUILD.bazel", b"\xe9"),
        ("requirements.in", b"a" * (17 << 20)),
    ],
)
def test_half_of_a_migration_is_never_written(tmp_path, name, content):
    directory = project(tmp_path, "service: service:Svc\n")
    made = migrate(directory)
    (directory / name).write_bytes(content)
    before = {path: path.read_bytes() for path in directory.rglob("*")}
    with pytest.raises(BentoError):
        write(made, directory, directory)
    assert {path: path.read_bytes() for path in directory.rglob("*")} == before
    if name == "MODULE.bazel":
        with pytest.raises(BentoError, match="MODULE.bazel: the file exceeds the limit of 16 MiB"):
            workspaces.read_root(directory)


@pytest.mark.parametrize("name", ["MODULE.bazel", ".bazelignore", "BUILD.bazel", "requirements.in"])
@pytest.mark.parametrize("kind", ["link", "directory", "full disk"])
def test_a_migration_is_written_only_if_each_file_can_be_replaced(tmp_path, monkeypatch, name, kind):
    directory = project(tmp_path, "service: service:Svc\n")
    (directory / ".bentoignore").write_text("target\n")
    made = migrate(directory)
    message = f"{name}: the path is a {'symbolic link' if kind == 'link' else kind}, which can't be overwritten"
    if kind == "link":
        (directory / "target").write_text("mine\n")
        (directory / name).symlink_to("target")
    elif kind == "directory":
        (directory / name).mkdir()
    else:
        monkeypatch.setattr(atomic, "atomic_file", partial(cannot_write, atomic.atomic_file, name))
        message = f"{name}: cannot write the file: No space left on device"
    before = tree(directory)
    with pytest.raises(BentoError, match=message):
        write(made, directory, directory, force=True)
    assert tree(directory) == before


@contextmanager
def cannot_write(atomic_file, name, path):
    with atomic_file(path) as file:
        if path.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        yield file


def test_lines_of_a_build_file_end_where_bazel_says(tmp_path):
    directory = project(tmp_path, "service: service:Svc\n")
    old = '# a\x0cb\n\nbento_package(\n    name = "svc_bento",\n)\n\n# c\n'
    (directory / "BUILD.bazel").write_text(old)
    write(migrate(directory), directory, directory, force=True)
    text = (directory / "BUILD.bazel").read_text()
    assert text.startswith("# a\x0cb\n")
    assert text.count("bento_package(") == 1
    assert "# c\n" in text


# What comes next


@pytest.mark.parametrize(
    ("version", "code"), [("3.10", ""), ("3.9", ""), ("3.9", "match 1:\n    case 1: pass\n"), ("3.11", "")]
)
def test_an_older_python_is_a_finding_only_with_newer_syntax(tmp_path, version, code):
    directory = project(tmp_path, f"service: service:Svc\ndocker: {{python_version: '{version}'}}\n", SERVICE + code)
    notes = [note for note in migrate(directory).notes if "syntax" in note]
    expected = "Packages: the service has syntax of Python 3.10, but the project specifies Python 3.9."
    assert notes == [expected] * bool(code)


def test_a_service_of_before_bentoml_1_4(tmp_path):
    service = "import bentoml\nsvc = bentoml.Service('old', runners=[])\n"
    with pytest.raises(
        BentoError, match=r"^service\.py:2: .*API of BentoML before 1\.4.*class.*bentoml\.legacy\.Service"
    ):
        migrate(project(tmp_path, "service: service:svc\n", service))


@pytest.mark.parametrize("source", ["{ workspace = true }", '{ path = "libs/shared" }'])
def test_a_member_of_a_uv_workspace_is_a_library(tmp_path, source):
    files = {
        "pyproject.toml": '[project]\nname = "define"\ndependencies = ["bentoml", "Shared_Lib[x]>=0", "other"]\n'
        f"[tool.uv.sources]\nshared-lib = {source}\nother = {{ path = '../other' }}\n",
        "libs/shared/pyproject.toml": '[project]\nname = "shared.lib"\ndependencies = ["tomli"]\n',
        "libs/shared/src/shared_lib/__init__.py": "",
        "libs/broken/pyproject.toml": "[",
    }
    directory = project(tmp_path, "", **files)
    (directory / "bentofile.yaml").unlink()
    made = migrate(directory, "svc", store=tmp_path)
    assert 'requirements = [\n        "@pypi//bentoml",\n        "@pypi//tomli",\n    ],' in made.build
    assert made.requirements == "bentoml\ntomli\n"
    [note, other] = [note for note in made.notes if "py_library" in note]
    assert "shared-lib is the local project libs/shared. Create libs/shared/BUILD.bazel" in note
    assert 'srcs = glob(["src/**/*.py"]), imports = ["src"]' in note
    assert 'deps = ["//svc/libs/shared:shared_lib"]' in note
    assert "other comes from path '../other'" in other
    assert not any("Not migrated" in note for note in made.notes)

    (directory / "libs/shared/BUILD.bazel").write_text('py_library(\n    name = "own",\n    srcs = [],\n)\n')
    made = migrate(directory, "svc", store=tmp_path)
    assert 'deps = ["//svc/libs/shared:own"],' in made.build
    assert not any("libs/shared." in note for note in made.notes)


@pytest.mark.parametrize("hub", ['a"b', "", "a b", "-a", "a\nb"])
def test_the_name_of_a_hub_is_a_name(tmp_path, hub):
    directory = project(tmp_path, "service: service:Svc\n")
    with nullcontext() if not hub else pytest.raises(BentoError, match="--hub: invalid name"):
        migrate(directory, hub=hub)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (
            'bento = use_extension("@rules_bento//toolchains:extensions.bzl", "bento")\n'
            'bento.pypi(name = "hub", lock = "//:lock.json")\n',
            '["@hub//bentoml"]',
        ),
        (
            'pip = use_extension("@rules_python//python/extensions:pip.bzl", "pip")\n'
            'pip.parse(hub_name = "pip", python_version = "3.12", requirements_lock = ":lock.txt")\nuse_repo(pip, "pip")\n',
            '[\n        "@pip//bentoml",\n        "//:lock.txt",\n    ]',
        ),
    ],
)
def test_the_hub_of_the_workspace_is_used(module, expected, tmp_path):
    files = {"service.py": SERVICE, "bentofile.yaml": "service: service:Svc\npython:\n  packages: [bentoml]\n"}
    for path, content in files.items():
        (tmp_path / path).write_text(content)
    found = workspaces.read(module + 'bazel_dep(name = "rules_bento")\n', "MODULE.bazel")
    made = migrate(tmp_path, "svc", workspace=found)
    assert f"    requirements = {expected},\n" in made.build
    assert made.module == ""
    assert "bento_requirements" not in made.build
    found = workspaces.read(module.replace('"//:', '"//other:').replace('":lock', '"//other:lock'), "MODULE.bazel")
    assert "bento_requirements" in migrate(tmp_path, "svc", workspace=found).build  # of another project
