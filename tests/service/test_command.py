"""`bento build --import` imports the service with an environment that has BentoML."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from bento_cli.__main__ import main
from bento_cli.projects import from_directory
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages.bentoml_users import users_in_lock
from rules_bento.bentos.packages.virtualenv import make_environment
from rules_bento.bentos.service import import_twice

from tests.conftest import locked_wheels
from tests.service.closures import copy_closure
from tests.service.forked import write_bytecode

SERVICE = """\
import bentoml, torch
from values import WORKERS

def workers():
    return WORKERS + len(str(bentoml.__name__)) - 7

@bentoml.service(workers=workers())
class Svc:
    @bentoml.api
    def predict(self, text: str) -> str: ...
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("python")
    site = copy_closure(directory / "site", locked_wheels(), "bentoml")
    python = make_environment(directory / "environment", [site])
    write_bytecode(python, directory)
    return python


@pytest.fixture
def project(tmp_path) -> Path:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "service.py").write_text(SERVICE, "utf-8")
    (tmp_path / "project" / "values.py").write_text("WORKERS = 2\n", "utf-8")
    return tmp_path / "project"


def test_the_metadata_is_that_of_the_import(python, project):
    made = from_directory.build(build_ctx=project, extra=from_directory.ExtraOptions(python=python))
    document = yaml.safe_load(made.bento.files["bento.yaml"])
    assert document["services"][0]["config"] == {"workers": 2}
    assert document["schema"]["routes"][0]["name"] == "predict"
    assert "apis/openapi.yaml" in made.bento.files


def test_an_import_is_compared_with_static_analysis(python, project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    text = "from values import WORKERS\nimport bentoml\n\n@bentoml.service(workers=WORKERS)\nclass Svc: ...\n"
    (project / "service.py").write_text(text, "utf-8")
    words = ["build", "--archive", "svc.bento", "--no-lock", "--compare", "--python", str(python)]
    assert main(words) == 0, capsys.readouterr().err
    # Nothing in the sources names the function that changes the value.
    (project / "hidden.py").write_text("import values\nvalues.WORKERS = 4\n", "utf-8")
    text = f"import logging.config\nlogging.config.BaseConfigurator({{}}).resolve('hid' + 'den')\n{text}"
    (project / "service.py").write_text(text, "utf-8")
    capsys.readouterr()
    assert main(words) == 1
    difference = "service.py:7: services.0.config.workers is 2 in the Bento, and 4 by importing the service."
    assert difference in capsys.readouterr().err


DEAD = """\
import bentoml, datasets
import litellm
import lib.change
from acme import sdk

@bentoml.service
class Svc: ...
"""


@pytest.mark.parametrize("is_locked", [False, True])
def test_a_comparison_names_what_stand_ins_replaced(python, tmp_path, monkeypatch, capsys, is_locked):
    """A directory below the top, another requirement, and a link to a directory provide no module."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    for path in ("data/datasets/a.csv", "shared/lib/change.py"):
        Path(path).parent.mkdir(parents=True)
        Path(path).write_text("import os\nos.environ.get('UNSET')\n" if path.endswith("py") else "", "utf-8")
    Path("lib").symlink_to("shared/lib")
    Path("service.py").write_text(DEAD, "utf-8")
    Path("bentofile.yaml").write_text("service: service:Svc\npython:\n  packages: [flask, acme]\n", "utf-8")
    pins = [f"{name}==1 --hash=sha256:{'0' * 64}\n" for name in ("bentoml", "flask", "acme")]
    if is_locked:
        Path("requirements.lock.txt").write_text("".join(pins), "utf-8")
    words = ["build", "--archive", "svc.bento", "--compare", "--python", str(python), "--import-env", "A=1"]
    assert main([*words, *([] if is_locked else ["--no-lock"])]) == 0
    error = capsys.readouterr().err
    text = "the environment of --python doesn't have the module"
    assert re.findall(f"note: (.*): {text} `(.*?)`", error) == [
        ("service.py:1", "datasets"), ("service.py:2", "litellm"), ("service.py:3", "lib")
    ]  # fmt: skip
    assert "Stand-ins replaced datasets (service.py:1), litellm (service.py:2), lib (service.py:3), acme (s" in error


def test_a_linked_module_is_analyzed(tmp_path):
    """BentoML keeps links between files of a project."""
    service = (
        "import bentoml\nfrom values import LABELS\nimport other\n@bentoml.service(labels=LABELS)\nclass Svc: ...\n"
    )
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/real.py").write_text(service, "utf-8")
    (tmp_path / "values.py").write_text("LABELS = {'a': 'b'}\n", "utf-8")
    for name, target in {
        "service.py": "shared/service.py",
        "shared/service.py": "real.py",
        "other.py": "values.py",
    }.items():
        (tmp_path / name).symlink_to(target)
    made = from_directory.build(build_ctx=tmp_path)
    assert yaml.safe_load(made.bento.files["bento.yaml"])["labels"] == {"a": "b"}
    (tmp_path / "other.py").unlink()
    (tmp_path / "shared/more.py").write_text("from values import LABELS\nLABELS['a'] = 'c'\n", "utf-8")
    (tmp_path / "other.py").symlink_to("shared/more.py")
    with pytest.raises(BentoError, match=r"other\.py:2: `labels` of service `Svc`"):
        from_directory.build(build_ctx=tmp_path)


SERVING = """\
import bentoml
from company_serving import job, model

@bentoml.service
class Svc:
    {}
"""


@pytest.mark.parametrize("member", ["@job\n    def f(self): ...", "iris = model('iris:v1')"])
def test_a_package_that_requires_bentoml_can_make_its_objects(tmp_path, monkeypatch, capsys, member):
    for name in ("BENTO_NO_LOCK", "CONDA_PREFIX", "VIRTUAL_ENV"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    Path("service.py").write_text(SERVING.format(member), "utf-8")
    words = ["build", "--archive", "svc.bento", "--static"]
    assert main([*words, "--no-lock"]) == 0, capsys.readouterr().err
    locked = "[[package]]\nname = '{}'\nversion = '1'\nsource = {{registry = 'https://a/'}}\ndependencies = [{{name = '{}'}}]\n"
    packages = [locked.format(*each) for each in EDGES]
    Path("uv.lock").write_text("".join(["version = 1\nrequires-python = '>=3.10'\n", *packages]), "utf-8")
    assert main(words) == 1
    assert "isn't supported as" in (error := capsys.readouterr().err) or "isn't a supported decorator" in error
    Path("uv.lock").unlink()
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "environment"))
    make_environment(tmp_path / "environment", [])
    [site] = tmp_path.glob("environment/lib/python*/site-packages")
    for name, other in EDGES:
        directory = site / f"{name.replace('-', '_')}-1.dist-info"
        directory.mkdir()
        (directory / "METADATA").write_text(f"Name: {name}\nRequires-Dist: {other}>=1\n\n", "utf-8")
        (directory / "RECORD").write_text(f"{name.replace('-', '_')}/__init__.py,,\n", "utf-8")
    assert main([*words, "--no-lock"]) == 1


EDGES = [("company-serving", "company-base"), ("company-base", "bentoml")]


@pytest.mark.parametrize(
    ("imported", "defined", "remedy"),
    [
        ("from helpers import predct", "def predict(): ...", "helpers.py has no name `predct`, which this line imports. Did you mean `predict`?"),
        ("from service import STAGE", "", "service.py has no name `STAGE`"),
        ("from helpers import a", "if len('b'):\n    a = 1", ""),
        ("from helpers import a", "def __getattr__(name): ...", ""),
        ("try:\n    from helpers import a\nexcept ImportError: ...", "", ""),
        ("from helpers import __doc__, a", "a = 1", ""),
    ],
)  # fmt: skip
def test_an_imported_name_that_a_module_lacks(tmp_path, imported, defined, remedy):
    (tmp_path / "service.py").write_text(f"import bentoml\n{imported}\n@bentoml.service\nclass Svc: ...\n", "utf-8")
    (tmp_path / "helpers.py").write_text(f"{defined}\n", "utf-8")
    if not remedy:
        from_directory.build("service:Svc", build_ctx=tmp_path)
        return
    with pytest.raises(BentoError, match=re.escape(f"service.py:2: {remedy}")):
        from_directory.build("service:Svc", build_ctx=tmp_path)


def test_the_version_of_bentoml_is_that_of_the_environment(python, project, monkeypatch):
    monkeypatch.setattr(from_directory, "BENTOML_VERSION", "1.3.0")
    extra = from_directory.ExtraOptions(python=python, bentoml_version=None)
    made = from_directory.build(build_ctx=project, extra=extra)
    version = yaml.safe_load(made.bento.files["bento.yaml"])["bentoml_version"]
    program = [str(python), "-c", "import bentoml; print(bentoml.__version__)"]
    assert version == subprocess.run(program, capture_output=True, text=True, check=True).stdout.strip() != "1.3.0"
    [note] = [note for note in made.notes if "bentoml==" in note]
    assert note.startswith(
        f"the Bento requires bentoml=={version}, the version in the environment of --python. To choose"
    )


def test_a_module_that_include_drops_has_no_stand_in(python, project):
    with pytest.raises(BentoError, match="No module named 'values'"):
        from_directory.build(
            include=["service.py"], build_ctx=project, extra=from_directory.ExtraOptions(python=python)
        )


def test_the_path_of_the_interpreter_can_be_relative(python, project, tmp_path, monkeypatch):
    monkeypatch.chdir(python.parent)
    archive = tmp_path / "x.bento"
    assert main(["build", str(project), "--archive", str(archive), "--import", "--python", f"./{python.name}"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--static", "--import"], "--import and --static contradict."),
        (["--import", "--import-env", "UNSET_X"], "--import-env: UNSET_X isn't set in this environment. Write NAME="),
        (["--import", "--import-env", "=x"], "--import-env: expected NAME=value"),
        (["--import", "--python", "/nowhere"], "--python: /nowhere doesn't exist"),
    ],
)
def test_options_that_contradict(project, tmp_path, capsys, options, message):
    assert main(["build", str(project), "--archive", str(tmp_path / "out"), *options]) != 0
    assert message in capsys.readouterr().err


OPTIONAL = """\
import bentoml
{image}
try:
    import flash_attn
    NAME = "flash"
except ImportError:
    NAME = "sdpa"
{more}
@bentoml.service(name="svc-" + NAME{argument})
class Svc: ...
"""
SEARCHED = """\
import bentoml, importlib.util
NAME = "flash" if importlib.util.find_spec("flash_attn") else "sdpa"
@bentoml.service(name="svc-" + NAME)
class Svc: ...
"""

# The import with a stand-in fails, because a name can't be one.
NEEDED = """\
import bentoml
try:
    from flash_attn import NAME
except ImportError:
    NAME = "sdpa"
@bentoml.service(name=f"svc-{NAME}")
class Svc: ...
"""


def optional(image="", more="", argument="") -> str:
    return OPTIONAL.format(image=image, more=more, argument=argument)


@pytest.mark.parametrize("service", [optional(), SEARCHED, NEEDED])
def test_an_optional_package_that_is_not_required_is_absent_as_for_bentoml(python, project, service):
    (project / "service.py").write_text(service, "utf-8")
    extra = from_directory.ExtraOptions(python=python)
    made = from_directory.build(build_ctx=project, python={"packages": ["torch"]}, extra=extra)
    assert made.tag.name == "svc-sdpa"
    absent = "`flash_attn` isn't installed in the environment of --python, so importing it raised ImportError."
    assert [note for note in made.notes if absent in note]  # torch might provide it


@pytest.mark.parametrize(
    ("service", "options"),
    [
        (NEEDED, {"python": {"packages": ["torch", "Flash.Attn>=2"]}}),
        (optional("image = bentoml.images.Image().python_packages('flash-attn')", argument=", image=image"), {}),
        (optional(more="import datetime\nNAME += str(datetime.date.today())"), {}),
    ],
)
def test_an_optional_package_that_is_required_decides(python, project, service, options):
    (project / "service.py").write_text(service, "utf-8")
    extra = from_directory.ExtraOptions(python=python)
    with pytest.raises(BentoError, match="Install flash-attn in the environment|on another machine or another day"):
        from_directory.build(build_ctx=project, extra=extra, **options)


COMPUTED = """\
import os
import bentoml
NAME = "svc-" + os.getenv("STAGE", "dev")
@bentoml.service(name=NAME, labels={"b": os.environ.get("OTHER", "x")})
class Svc:
    @bentoml.api
    def predict(self, text: str) -> str: ...
"""


@pytest.fixture
def computed(tmp_path, monkeypatch):
    (tmp_path / "computed").mkdir()
    (tmp_path / "computed/service.py").write_text(COMPUTED, "utf-8")
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    for name in ("CONDA_PREFIX", "STAGE", "VIRTUAL_ENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(import_twice, "isolation_problem", lambda: "")
    return tmp_path / "computed"


@pytest.mark.parametrize("named", ["--python", "VIRTUAL_ENV", "CONDA_PREFIX"])
def test_a_build_continues_with_the_environment_that_the_caller_names(python, computed, capsys, monkeypatch, named):
    if named != "--python":
        monkeypatch.setenv(named, str(python.parent.parent))
    words = ["--python", str(python)] if named == "--python" else []
    assert main(["build", str(computed), *words, "-o", "path"]) == 0
    out, err = capsys.readouterr()
    assert (
        "note: service.py:3: service `Svc`: `os.getenv('STAGE', 'dev')` isn't a supported expression. Therefore, the "
        f"service was imported in isolation, with {python}. To prevent this, add --static.\n"
    ) in err
    assert "note: The imported code read environment variables that it doesn't get: OTHER, STAGE. To pass a " in err
    document = yaml.safe_load((Path(out.strip()) / "bento.yaml").read_text())
    assert document["name"] == "svc-dev"
    assert document["schema"]["routes"]
    monkeypatch.setenv("STAGE", "prod")
    assert main(["build", str(computed), *words, "--import-env", "STAGE", "--import-env", "OTHER=y", "-o", "ref"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("svc-prod:")
    assert "environment variables" not in err


def test_without_isolation_or_environment_or_with_static_nothing_runs(python, computed, capsys, monkeypatch, tmp_path):
    canary = tmp_path / "canary"
    (computed / "service.py").write_text(f"open({str(canary)!r}, 'w')\n{COMPUTED}", "utf-8")
    (computed / ".venv").symlink_to(python.parent.parent)  # nothing is discovered in the project
    monkeypatch.chdir(computed)

    def fails(*words):
        assert main(["build", ".", *words]) == 1
        assert "Build with --import --python " in capsys.readouterr().err

    fails()
    fails("--static", "--python", str(python))
    fails("--python", str(tmp_path / "none"))
    monkeypatch.setenv("BENTO_STATIC", "1")
    fails("--python", str(python))
    monkeypatch.delenv("BENTO_STATIC")
    monkeypatch.setattr(import_twice, "isolation_problem", lambda: "no user namespaces")
    fails("--python", str(python))
    assert not canary.exists()
    (computed / "service.py").write_text("import bentoml\n", "utf-8")  # an import can't help
    monkeypatch.setattr(import_twice, "isolation_problem", lambda: pytest.fail("unused"))
    assert main(["build", ".", "--python", str(python)]) == 1


@pytest.mark.parametrize(
    ("environment", "isolation", "reason"),
    [
        ("nowhere", "", "nowhere doesn't exist"),
        ("empty", "", "empty contains no bin/python"),
        ("none", "", "none can't import BentoML"),
        ("empty", "no user namespaces", "this system can't isolate the import (no user namespaces)"),
    ],
)
@pytest.mark.parametrize("named", ["--python", "VIRTUAL_ENV", "CONDA_PREFIX"])
def test_an_error_says_why_nothing_was_imported(
    computed, capsys, monkeypatch, tmp_path, named, environment, isolation, reason
):
    (tmp_path / "empty").mkdir()
    make_environment(tmp_path / "none", [])
    monkeypatch.setattr(import_twice, "isolation_problem", lambda: isolation)
    path = str(tmp_path / environment)
    if named != "--python":
        monkeypatch.setenv(named, path)
    assert main(["build", str(computed), *(["--python", path] if named == "--python" else [])]) == 1
    error = capsys.readouterr().err
    assert f"wasn't imported automatically, because {'' if isolation else f'{tmp_path}/'}{reason} ({named})." in error


def test_get_says_whether_the_apis_are_described(python, computed, capsys, monkeypatch):
    (computed / "service.py").write_text("import bentoml\n\n@bentoml.service\nclass Svc: ...\n", "utf-8")
    assert main(["build", str(computed), "--version", "static"]) == 0
    assert main(["get", "svc:static"]) == 0
    note = "note: The Bento has no description of its APIs (apis/, schema). To write it, build with --apis."
    assert note in capsys.readouterr().err
    assert main(["build", str(computed), "--version", "whole", "--apis", "--python", str(python)]) == 0
    capsys.readouterr()
    assert main(["get", "svc:whole"]) == 0
    out, err = capsys.readouterr()
    assert note not in err
    assert "routes:" in out


@pytest.mark.parametrize("entries", [1, [1], [{"dependencies": 1}], [{"dependencies": [1]}], [{"dependencies": [{}]}]])
def test_a_lock_with_another_form_has_no_users_of_bentoml(entries):
    assert users_in_lock(entries) == set()
