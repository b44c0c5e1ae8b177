"""Notes on imports that nothing provides: where it is certain, and never where a package might provide the module."""

import json
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from bento_cli.projects.from_directory import ExtraOptions, build
from rules_bento.actions.bento_sources import snapshot
from rules_bento.actions.check_images import check_image
from rules_bento.actions.package import package
from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import decode
from rules_bento.bentos.packages.requirement_syntax import LockedRequirements
from rules_bento.bentos.packages.virtualenv import make_environment
from rules_bento.bentos.service import loaded_names
from rules_bento.bentos.service.loaded_modules import MissingModule, survey
from rules_bento.bentos.service.metadata import SourceTree
from rules_bento.images.wheels.libraries import Libraries

SERVICE = """\
{imports}

@bentoml.service({decorator})
class Svc:
    @bentoml.api
    def ask(self, text: str) -> str:
        return text
"""
DIRECTORY = "service.py:2: the Bento contains the files of the directory my_folder, but not the module `my_folder`."
EXCLUDED = "service.py:2: the import of `helpers` requires helpers.py, which is excluded."
SUBMODULE = "service.py:2: the sources don't contain the module `lib.missing`."


def only_bentoml(*names: str) -> str:
    return f"service.py:2: the Bento's packages don't provide {', '.join(names)}. Add the packages that do to python.packages."


def notes_of(directory: Path, extra: ExtraOptions, **options) -> list[str]:
    """The notes of a build, except that the Python API locks no packages."""
    found = build("service:Svc", build_ctx=directory, extra=extra, **options).notes
    return [note for note in found if not note.startswith("The packages aren't locked")]


def notes(tmp_path, imports: str, files=(), decorator: str = "", **options) -> list[str]:
    directory = tmp_path / "my_folder"
    source = SERVICE.format(imports=f"import bentoml\n{imports}", decorator=decorator)
    for path, text in {"service.py": source, **dict(files)}.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)
    return notes_of(directory, ExtraOptions(store=tmp_path), **options)


@pytest.mark.parametrize(
    ("imports", "note"),
    [
        ("from my_folder.settings import X", DIRECTORY),
        ("from my_folder import settings", DIRECTORY),
        ("import my_folder.settings", DIRECTORY),
        ("with bentoml.importing():\n    from my_folder.settings import X", DIRECTORY.replace(":2:", ":3:")),
        ("import lib.used", DIRECTORY.replace("service.py:2", "lib/used.py:1")),
        ("from my_folder import other", ""),  # a package can have the name of the directory
        ("import my_folder", ""),
        ("from helpers import X", EXCLUDED),
        ("import helpers", EXCLUDED),
        ("from lib.missing import X", SUBMODULE),
        ("import lib.missing", SUBMODULE),
        ("import lib.part.missing", ""),  # another distribution can have a part of a package without __init__.py
        ("try:\n    from my_folder.settings import X\nexcept ImportError:\n    X = 1", ""),
        ("try:\n    import helpers\nexcept ImportError:\n    X = 1", EXCLUDED.replace(":2:", ":3:")),
        ("import cProfile", "service.py:2: BentoML might load another module `profile` before the service"),
        ("import this", ""),
        ("def later():\n    from my_folder.settings import X", ""),
        ("if len('a'):\n    from my_folder.settings import X", ""),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from my_folder.settings import X", ""),
        ("import unknown_module, cv2", ""),
        ("import tomllib, distutils, os.path, __future__", ""),
        ("import attrs, bentoml.exceptions", ""),
    ],
)
def test_imports_of_a_bento_with_packages(tmp_path, imports, note):
    files = {"settings.py": "X = 1", "helpers.py": "X = 1", "lib/__init__.py": "", "lib/part/own.py": ""}
    files |= {"profile.py": "", "lib/used.py": "from my_folder.settings import X"}
    found = notes(tmp_path, imports, files, exclude=["helpers.py"], python={"packages": ["scikit-learn"]})
    assert len(found) == bool(note)
    assert not note or found[0].startswith(note)


@pytest.mark.parametrize("name", ["my-folder", "My_Folder[extra]==1.0", "python-my-folder"])
def test_a_package_with_the_name_of_the_directory(tmp_path, name):
    """For example the directory `whisper` with `from whisper.utils import ...`."""
    assert notes(tmp_path, "from my_folder.settings import X", {"settings.py": ""}, python={"packages": [name]}) == []


@pytest.mark.parametrize(
    ("imports", "decorator", "options", "names"),
    [
        ("import sklearn, torch\nimport numpy as np", "", {}, ["`sklearn`", "`torch`"]),
        ("from PIL.Image import Image", "", {}, ["`PIL`"]),
        ("with bentoml.importing():\n    import torch", "", {}, ["`torch`"]),
        ("import torch", "", {"docker": {"system_packages": ["git"]}}, ["`torch`"]),
        ("import torch", "", {"python": {"packages": ["bentoml==1.4.39"]}}, ["`torch`"]),
        ("import numpy, yaml, pydantic, starlette, attr, httpx, rich, click", "", {}, []),
        ("import torch", "", {"python": {"packages": ["transformers"]}}, []),
        ("import torch", "", {"python": {"packages": ["bentoml[io]"]}}, []),
        ("import torch", "", {"docker": {"base_image": "own:1"}}, []),
        ("import torch", "", {"docker": {"setup_script": "s.sh"}}, []),
        ("import torch", "", {"conda": {"channels": ["x"], "dependencies": ["y"]}}, []),
        ("import torch", "image=bentoml.images.Image().run('pip install torch')", {}, []),
        ("import torch", "image=bentoml.images.Image().python_packages('torch')", {}, []),
        ("import torch", "image=bentoml.images.Image('own:1')", {}, []),
        ("import torch", "image=bentoml.images.Image().system_packages('git')", {}, ["`torch`"]),
        ("import torch  # bento: provided", "", {}, []),
        ("from torch import (  # bento: provided by the base\n    nn,\n)", "", {}, []),
    ],
)
def test_imports_of_a_bento_without_packages(tmp_path, imports, decorator, options, names):
    found = notes(tmp_path, imports, {"s.sh": "#!/bin/sh\n"}, decorator, **options)
    expected = only_bentoml(*names).replace(":2:", ":3:" if "importing" in imports else ":2:")
    assert [note.startswith(expected) for note in found] == [True] * bool(names)


LOCK = "bentoml==1.4.39\naiohttp==3.13\n"


@pytest.mark.parametrize("spec", [1, 2])
@pytest.mark.parametrize(
    ("roots", "locked", "module", "is_missing"),
    [
        ("bentoml", LOCK, "xgboost", True),
        ("bentoml", LOCK, "own_sdk", True),
        ("bentoml", LOCK, "numpy", False),  # some versions of bentoml require it
        ("scikit-learn", LOCK + "scikit-learn==1.7\nscipy==1.16\n", "xgboost", False),  # their files are unknown
        ("scikit-learn", LOCK + "scikit-learn==1.7\nscipy==1.16\n", "scipy", False),
        ("scikit-learn", LOCK + "scikit-learn==1.7\nscipy==1.16\n", "own_sdk", False),
        ("acme", LOCK + "acme==1\nacme-torch-cpu==2\n", "torch", False),
        ("acme", LOCK + "acme==1\nopencv-python-headless==4\n", "cv2", False),
    ],
)
def test_a_lock_contains_all_packages(tmp_path, spec, roots, locked, module, is_missing):
    """The default: the requirements file lists also what the requirements require."""
    lock = LockedRequirements(f"bentoml\n{roots}\n", tuple((pin, ("0" * 64,)) for pin in locked.split()))
    (tmp_path / "my_folder").mkdir()
    (tmp_path / "my_folder/service.py").write_text(
        SERVICE.format(imports=f"import bentoml\nimport {module}", decorator="")
    )
    found = notes_of(tmp_path / "my_folder", ExtraOptions(store=tmp_path, lock=lock, spec=spec))
    expected = f"service.py:2: the Bento's packages don't provide `{module}`. "
    assert [note.startswith(expected) for note in found] == [True] * is_missing


def analyzed(directory: Path, imports: str, *more: str) -> Any:
    """The file that the first step of bento_package writes for the others."""
    (directory / "service.py").write_text(SERVICE.format(imports=f"import bentoml\n{imports}", decorator=""))
    (directory / "settings.py").write_text("X = 1\n")
    words = ["--target", "//svc:b", "--build-ctx", "pkg/svc", "--service", "service:Svc", *more]
    for name in ("service.py", "settings.py"):
        words += ["--source", str(directory / name), f"pkg/svc/{name}", f"//pkg/svc:{name}"]
    for name in ("manifest", "service-info", "part", "unused"):
        words += [f"--{name}", str(directory / name)]
    snapshot(decode(snapshot, words))
    return json.loads((directory / "service-info").read_text())


def of_rules(directory: Path, imports: str, lock: LockedRequirements | None = None) -> Path:
    """The file of the modules that packages must provide, from the steps of bento_package."""
    analyzed(directory, imports)
    words = ["--target", "//svc:b", "--creation-time", "1980-01-01T00:00:00+00:00", "--bentoml-version", "1.4.39"]
    words += ["--python-version", "3.11", "--sources", str(directory / "manifest")]
    words += ["--service-info", str(directory / "service-info")]
    for name in ("bento-yaml", "manifest", "digest", "imports", "part", "tag"):
        words += [f"--{name}", str(directory / f"bento.{name}")]
    if lock:
        (directory / "locked").write_text(lock.dumps())
        words += ["--locked", str(directory / "locked")]
    package(decode(package, words))
    return directory / "bento.imports"


def check(imports: Path, files: dict[str, list[str]]) -> None:
    """Run the check of an image with packages, whose files are `files`."""
    (imports.parent / "base").write_text('{"architecture": "amd64"}')
    words = ["--target", "//:image", "--base", "base", "--base-config", str(imports.parent / "base")]
    words += ["--python-version", "3.11", "--output", str(imports.parent / "out"), "--imports", str(imports)]
    for name, paths in files.items():
        text = Libraries(f"{name}-1-py3-none-any.whl", name, (), files=dict.fromkeys(paths, name)).dumps()
        (imports.parent / f"{name}.json").write_text(text)
        words += ["--libraries", str(imports.parent / f"{name}.json")]
    check_image(decode(check_image, words))


def test_an_imported_service_is_examined_too(tmp_path):
    found = [analyzed(tmp_path, "import torch", *more)["survey"] for more in ((), ("--skip-service",))]
    assert found[0] == found[1] == [None, [["torch", "service.py:2", ""]]]


def test_notes_of_the_rule(tmp_path, capfd):
    """The snapshot finds the imports, and the package step has the requirements."""
    error = r"^service.py:3: the Bento's packages don't provide `torch`. Add .* to requirements. If the "
    with pytest.raises(BentoError, match=error):
        of_rules(tmp_path, "from svc.settings import X\nimport torch")
    of_rules(tmp_path, "from svc.settings import X\nimport numpy")
    assert capfd.readouterr().err.startswith(
        "//svc:b: service.py:2: the Bento contains the files of the directory svc, but not the module"
    )


def test_modules_of_bentoml():
    """All that bentoml requires here, without the modules that tests of packages add."""
    pytest.importorskip("bentoml")
    from packaging.requirements import Requirement

    todo, seen, modules = ["bentoml"], set(), set()
    while todo:
        name = todo.pop()
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if name not in seen:
            needs = [Requirement(text) for text in distribution.requires or ()]
            todo += [each.name for each in needs if not each.marker or each.marker.evaluate({"extra": ""})]
            modules |= {
                file.parts[0].partition(".")[0]
                for file in distribution.files or ()
                if not file.parts[0].endswith(("-info", ".libs"))
            }
        seen.add(name)
    known = {module for module in modules if re.fullmatch("[a-z]\\w*", module)} - {"bentoml", "example", "tests"}
    assert known <= loaded_names.LOADED | loaded_names.PROVIDED


# Modules of packages that services often use, and that neither bentoml nor flask requires.
OTHERS = [
    "accelerate",
    "altair",
    "anthropic",
    "bokeh",
    "boto3",
    "botocore",
    "bs4",
    "catboost",
    "celery",
    "cv2",
    "dask",
    "datasets",
    "diffusers",
    "django",
    "duckdb",
    "fastapi",
    "fitz",
    "gensim",
    "google_crc32c",
    "gradio",
    "huggingface_hub",
    "jax",
    "joblib",
    "jose",
    "jwt",
    "kafka",
    "langchain",
    "langgraph",
    "librosa",
    "lightgbm",
    "litellm",
    "llama_cpp",
    "loguru",
    "matplotlib",
    "mlflow",
    "nltk",
    "onnx",
    "onnxruntime",
    "openai",
    "openpyxl",
    "pandas",
    "peft",
    "PIL",
    "plotly",
    "polars",
    "psycopg",
    "psycopg2",
    "pyarrow",
    "pymongo",
    "qdrant_client",
    "ray",
    "redis",
    "requests",
    "safetensors",
    "scipy",
    "seaborn",
    "sentence_transformers",
    "sentencepiece",
    "sentry_sdk",
    "shap",
    "skimage",
    "sklearn",
    "soundfile",
    "spacy",
    "sqlalchemy",
    "statsmodels",
    "streamlit",
    "tensorflow",
    "tiktoken",
    "timm",
    "tokenizers",
    "torch",
    "torchaudio",
    "torchvision",
    "transformers",
    "ultralytics",
    "vllm",
    "wandb",
    "xgboost",
]
FLASK = {"flask": ["blinker", "click>=8", "werkzeug"], "werkzeug": ["markupsafe"], "blinker": [], "itsdangerous": []}


@pytest.fixture
def environment(tmp_path) -> Path:
    """The interpreter of an environment with the metadata of flask."""
    python = make_environment(tmp_path / "environment", [])
    [site] = tmp_path.glob("environment/lib/python*/site-packages")
    for name, requires in FLASK.items():
        (site / f"{name}-3.dist-info").mkdir()
        text = "".join(f"Requires-Dist: {each}\n" for each in requires)
        (site / f"{name}-3.dist-info/METADATA").write_text(f"Name: {name}\n{text}\nDescription")
        (site / f"{name}-3.dist-info/RECORD").write_text(f"{name}/__init__.py,,\n{name}-3.dist-info/RECORD,,\n")
    return python


@pytest.fixture(autouse=True)
def uv_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    return tmp_path / "uv/wheels-v9/pypi"


@pytest.mark.parametrize("packages", [[], ["flask"], ["flask", "colorama; sys_platform == 'win32'"]])
def test_every_module_that_no_package_provides_is_named(tmp_path, environment, packages):
    """Directories below the top and data with the name of a module aren't modules."""
    provided = ["flask", "werkzeug", "blinker"] if packages == ["flask"] else []
    imports = "import {}".format(", ".join([*OTHERS, *provided, "numpy, rich, yaml, this"]))
    project = tmp_path / "project"
    for path in ("data/datasets/a.csv", "models/xgboost.json", "app/sklearn/__init__.py", "torch"):
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text("")
    (project / "service.py").write_text(SERVICE.format(imports=f"import bentoml\n{imports}", decorator=""))
    extra = ExtraOptions(store=tmp_path, environment=environment)
    found = notes_of(project, extra, python={"packages": packages})
    named = [re.findall(r"`(\w+)`", note.partition(". Add")[0]) for note in found]
    assert named == ([] if len(packages) == 2 else [OTHERS])  # whether colorama is required is unknown


def test_the_files_of_a_locked_package_are_in_the_cache_of_uv(tmp_path, uv_cache):
    lock = LockedRequirements("bentoml\nacme\n", tuple((pin, ("0" * 64,)) for pin in [*LOCK.split(), "acme==1.2"]))
    metadata = uv_cache / "acme/1.2-py3-none-any/acme-1.2.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Name: acme\n\n")
    (metadata / "RECORD").write_text("acme_sdk/__init__.py,,\nacme-1.data/purelib/_acme.abi3.so,,\n")
    (tmp_path / "project").mkdir()
    source = SERVICE.format(imports="import bentoml\nimport acme_sdk, _acme, acme", decorator="")
    (tmp_path / "project/service.py").write_text(source)
    extra = ExtraOptions(store=tmp_path, lock=lock)
    [note] = notes_of(tmp_path / "project", extra)
    assert note.startswith("service.py:2: the Bento's packages don't provide `acme`. ")
    (metadata / "RECORD").write_text("__editable__.acme.pth,,\n")  # its modules can be anywhere
    assert notes_of(tmp_path / "project", extra) == []


@pytest.mark.parametrize(
    "line", ["from . import local", "from .local import T", "from .local import *", "import cfg.local"]
)
@pytest.mark.parametrize("is_guarded", [False, True])
def test_a_relative_import_of_an_excluded_file(line, is_guarded):
    text = f"try:\n    {line}\nexcept ImportError: ..." if is_guarded else line
    files = {"service.py": b"import cfg.final", "cfg/__init__.py": b"", "cfg/final.py": text.encode()}
    found = survey("service:Svc", SourceTree(files, files.__getitem__), "x", ["cfg/local.py"]).missing
    assert found == [MissingModule("cfg.local", f"cfg/final.py:{1 + is_guarded}", "cfg/local.py")]


def test_modules_of_python_are_not_missing():
    names = sorted({*sys.stdlib_module_names, "asynchat", "cgi", "compression", "distutils", "imp", "tomllib"})
    files = {"service.py": f"import {', '.join(names)}".encode()}
    assert survey("service:Svc", SourceTree(files, files.__getitem__), "x").missing == []


GUARDS = [
    "try:\n    import absent\nexcept ImportError: ...", "try:\n    import absent\nexcept Exception: ...",
    "import contextlib\nwith contextlib.suppress(ImportError):\n    import absent",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import absent",
    "import sys\nif sys.version_info < (3, 8):\n    import absent",
    "import sys\nif sys.platform == 'win32':\n    import absent",
    "import absent  # bento: provided", "from absent import a  # bento: provided by the base",
    "from absent import (\n    a,  # bento: provided\n)", "if __name__ == '__main__':\n    import absent",
    "def later():\n    import absent", "class Later:\n    def run(self):\n        import absent",
    "while False:\n    import absent", "if len('a') > 3:\n    import absent",
]  # fmt: skip
GUARDED = "\n".join(GUARDS)


@pytest.mark.parametrize("is_known", [True, False])
def test_rules_name_every_module_that_no_package_provides(tmp_path, is_known):
    """In the Bento if the files of all packages are known, and always in the image, which has the files."""
    pins = [*LOCK.split(), "flask==3", "./wheels/acme-1.0-py3-none-any.whl"]
    modules = {"flask": ["flask"], "acme": ["acme_sdk"]} if is_known else {"acme": ["acme_sdk"]}
    lock = LockedRequirements("bentoml\nflask\nacme\n", tuple((pin, ("0" * 64,)) for pin in pins), modules=modules)
    files = {"flask": ["flask/__init__.py", "../../../bin/torch"], "acme": ["acme_sdk.py"], "numpy": ["numpy/a.py"]}
    line = "import flask, acme_sdk, settings, numpy, this\n"
    check(of_rules(tmp_path, f"{line}{GUARDED}", lock), files)
    with pytest.raises(BentoError) as error:
        check(of_rules(tmp_path, f"{line}import {', '.join(OTHERS)}", lock), files)
    start = "the Bento's packages don't provide" if is_known else "no package of the image provides"
    assert str(error.value).startswith(f"service.py:3: {start} `")
    assert re.findall(r"`(\w+)`", str(error.value).partition(". Add")[0]) == OTHERS


def test_imports_that_might_not_run_have_no_notes(tmp_path, environment):
    extra = ExtraOptions(store=tmp_path, environment=environment)
    for number, guard in enumerate(GUARDS):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}/service.py").write_text(f"import bentoml\n@bentoml.service\nclass Svc: ...\n{guard}\n")
        assert notes_of(tmp_path / f"{number}", extra) == [], guard
