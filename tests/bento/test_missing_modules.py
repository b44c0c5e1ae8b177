"""Notes on imports that nothing provides: where it is certain, and never where a package might provide the module."""

import re
from importlib import metadata
from pathlib import Path

import pytest
from bento_cli.projects.from_directory import ExtraOptions, build
from rules_bento.actions.bento_sources import snapshot
from rules_bento.actions.package import package
from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import decode
from rules_bento.bentos.packages.requirement_syntax import LockedRequirements
from rules_bento.bentos.service import loaded_names

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
    return f"service.py:2: the Bento's packages don't provide {', '.join(names)}. Add the packages to python.packages."


def notes(tmp_path, imports: str, files=(), decorator: str = "", **options) -> list[str]:
    directory = tmp_path / "my_folder"
    source = SERVICE.format(imports=f"import bentoml\n{imports}", decorator=decorator)
    for path, text in {"service.py": source, **dict(files)}.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)
    return [*build("service:Svc", build_ctx=directory, extra=ExtraOptions(store=tmp_path), **options).notes]


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
        (
            "import sklearn, torch\nimport numpy as np",
            "",
            {},
            ["`sklearn` (package scikit-learn)", "`torch` (package torch)"],
        ),
        ("from PIL.Image import Image", "", {}, ["`PIL` (package pillow)"]),
        ("with bentoml.importing():\n    import torch", "", {}, ["`torch` (package torch)"]),
        ("import torch", "", {"docker": {"system_packages": ["git"]}}, ["`torch` (package torch)"]),
        ("import torch", "", {"python": {"packages": ["bentoml==1.4.39"]}}, ["`torch` (package torch)"]),
        ("import numpy, yaml, pydantic, starlette, attr, httpx, rich, click", "", {}, []),
        ("import torch", "", {"python": {"packages": ["transformers"]}}, []),
        ("import torch", "", {"python": {"packages": ["bentoml[io]"]}}, []),
        ("import torch", "", {"docker": {"base_image": "own:1"}}, []),
        ("import torch", "", {"docker": {"setup_script": "s.sh"}}, []),
        ("import torch", "", {"conda": {"channels": ["x"], "dependencies": ["y"]}}, []),
        ("import torch", "image=bentoml.images.Image().run('pip install torch')", {}, []),
        ("import torch", "image=bentoml.images.Image().python_packages('torch')", {}, []),
        ("import torch", "image=bentoml.images.Image('own:1')", {}, []),
        ("import torch", "image=bentoml.images.Image().system_packages('git')", {}, ["`torch` (package torch)"]),
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
        ("scikit-learn", LOCK + "scikit-learn==1.7\nscipy==1.16\n", "xgboost", True),
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
    found = build(
        "service:Svc", build_ctx=tmp_path / "my_folder", extra=ExtraOptions(store=tmp_path, lock=lock, spec=spec)
    )
    expected = f"service.py:2: the Bento's packages don't provide `{module}` (package {module.replace('_', '-')}). "
    assert [note.startswith(expected) for note in found.notes] == [True] * is_missing


def test_notes_of_the_rule(tmp_path, capfd):
    """The snapshot finds the imports, and the package step has the requirements."""
    (tmp_path / "service.py").write_text(
        SERVICE.format(imports="import bentoml\nfrom svc.settings import X\nimport torch", decorator="")
    )
    (tmp_path / "settings.py").write_text("X = 1\n")
    out = {
        name: str(tmp_path / name) for name in ("manifest", "info", "part", "unused", "meta", "yaml", "digest", "tag")
    }
    words = ["--target", "//svc:b", "--build-ctx", "pkg/svc", "--service", "service:Svc", "--manifest", out["manifest"]]
    words += ["--service-info", out["info"], "--part", out["part"], "--unused", out["unused"]]
    for name in ("service.py", "settings.py"):
        words += ["--source", str(tmp_path / name), f"pkg/svc/{name}", f"//pkg/svc:{name}"]
    snapshot(decode(snapshot, words))
    words = ["--target", "//svc:b", "--creation-time", "1980-01-01T00:00:00+00:00", "--bentoml-version", "1.4.39"]
    words += [
        *("--python-version", "3.11", "--sources", out["manifest"], "--service-info", out["info"], "--part"),
        out["meta"],
    ]
    words += [
        *("--bento-yaml", out["yaml"], "--manifest", str(tmp_path / "m"), "--digest", out["digest"], "--tag"),
        out["tag"],
    ]
    error = (
        r"^service.py:3: the Bento's packages don't provide `torch` \(package torch\). Add .* to requirements. If the "
    )
    with pytest.raises(BentoError, match=error):
        package(decode(package, words))
    info = Path(out["info"])
    info.write_text(info.read_text().replace("torch", "numpy"))
    package(decode(package, words))
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
