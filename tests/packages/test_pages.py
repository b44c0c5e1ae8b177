"""Packages that aren't in the default index: pip and uv install a Bento's requirements from a second one, by hash."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.bentos.assembly.env.common import BentoSettings
from rules_bento.bentos.assembly.env.python import assemble_requirements
from rules_bento.bentos.packages import lock_format as locks
from rules_bento.bentos.packages.indexes import Indexes
from rules_bento.bentos.packages.lock_subset import Query, Resolver, Target, resolve_subset
from rules_bento.bentos.packages.lock_with_uv import normalize
from rules_bento.bentos.packages.requirement_syntax import LockedRequirements

from tests.packages.metadata_index import Index, package, serve

UV = os.environ["RULES_BENTO_UV"]
MINOR = ".".join(map(str, sys.version_info[:2]))
NEEDS_PIP = pytest.mark.skipif(find_spec("pip") is None, reason="no pip")
TARGET = Target("linux_amd64", MINOR, "2.28")
CP = f"cp{MINOR.replace('.', '')}"
PROJECT = """\
[project]
name = "project"
version = "0"
requires-python = "=={minor}.*"
dependencies = ["bentoml", "torch"]
[tool.uv]
package = false
[tool.uv.sources]
torch = {{ index = "cpu" }}
[[tool.uv.index]]
name = "cpu"
url = "{cpu}"
explicit = true
[[tool.uv.index]]
url = "{main}"
default = true
"""


@pytest.fixture
def indexes():
    """Two running indexes. Both have torch and core, with other versions or other files."""
    main = Index([
        package("bentoml", "1.4.39", "core>=2"),
        package("core", "1.0"),
        package("core", "2.0"),
        package("torch", "2.1", "core"),
    ])  # fmt: skip
    wheels = [f"{CP}-{CP}-manylinux_2_28_{machine}" for machine in ("x86_64", "aarch64")] + ["py3-none-any"]
    cpu = Index([package("core", "1.0", "torch"), package("torch", "2.1+cpu", "core>=1", wheels=wheels)])
    with serve(main) as main_address, serve(cpu) as cpu_address:
        yield main_address, cpu_address


def subset(lock):
    query = Query({"bentoml": "requirements", "torch": "requirements"})
    made = resolve_subset(query, lock["packages"], TARGET, Resolver(sys.executable, Path(UV)))
    return assemble_requirements([], BentoSettings("", "3.11", lock=LockedRequirements.loads(made.dumps())), "")


def uv_lock(directory, main, cpu):
    directory.mkdir()
    (directory / "pyproject.toml").write_text(PROJECT.format(minor=MINOR, main=main, cpu=cpu), "utf-8")
    subprocess.run([UV, "lock", "--quiet", "--python", sys.executable], cwd=directory, check=True)
    return directory / "uv.lock"


def read(path, **indexes):
    return normalize(path, uv=Path(UV), requires_python=f"=={MINOR}.*", indexes=Indexes(**indexes))


def installed(tmp_path, tool, main, text):
    """The versions that a tool installs of a requirements file, or its message."""
    file, target = tmp_path / "requirements.lock.txt", tmp_path / f"by-{tool}"
    file.write_text(text, "utf-8")
    shutil.rmtree(target, ignore_errors=True)
    arguments = [
        *("install", "--quiet", "--require-hashes", "--index-url", main, "--target", str(target), "-r", str(file))
    ]
    command = [UV, "pip", *arguments, "--no-cache"]
    if tool == "pip":
        command = [
            *(sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", *arguments, "--no-cache-dir")
        ]
    roots = os.environ["RULES_BENTO_ROOTS"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": roots, "no_proxy": "127.0.0.1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        return done.stderr
    return sorted(path.name.removesuffix(".dist-info") for path in target.glob("*.dist-info"))


@pytest.mark.parametrize("tool", ["uv", pytest.param("pip", marks=NEEDS_PIP)])
def test_a_package_of_an_explicit_index_is_installed(tmp_path, indexes, tool):
    main, cpu = indexes
    made = subset(read(uv_lock(tmp_path / "p", main, cpu)))
    link = f"--find-links {cpu}/torch/\n"
    assert made.roots == f"{link}bentoml\ntorch\n"
    assert made.text == f"{link}bentoml==1.4.39\ncore==2.0\ntorch==2.1+cpu\n"
    assert made.hashed.startswith(f"{link}bentoml==1.4.39 \\\n    --hash=sha256:")
    expected = ["bentoml-1.4.39", "core-2.0", "torch-2.1+cpu"]
    assert installed(tmp_path, tool, main, made.hashed) == expected
    without = made.hashed.removeprefix(link)
    assert "torch==2.1+cpu" in installed(tmp_path, tool, main, without), "the default index doesn't have it"
    # The reason for the option.
    other = installed(tmp_path, tool, main, f"--extra-index-url {cpu}\n{without}")
    assert other == expected if tool == "pip" else "no version of core==2.0" in other


def test_other_forms_of_the_lock_have_the_same_requirements(tmp_path, indexes):
    main, cpu = indexes
    path = uv_lock(tmp_path / "p", main, cpu)
    made = subset(read(path))
    declared = {"default": main, "extra": (f"cpu={cpu}/",), "explicit": {"Torch": "cpu"}}
    for name, form in (("requirements.txt", "requirements-txt"), ("pylock.toml", "pylock.toml")):
        export = [UV, "export", "--quiet", "--frozen", f"--format={form}", f"--output-file={name}"]
        subprocess.run([*export, "--python", sys.executable], cwd=path.parent, check=True)
        assert subset(read(path.with_name(name), **declared)).hashed == made.hashed


def document(**registries):
    """A uv.lock that requires all packages, each from an index."""
    edges = ", ".join(f'{{ name = "{name}" }}' for name in registries)
    head = f'version = 1\nrequires-python = ">=3.11"\n[[package]]\nname = "p"\nsource = {{ virtual = "." }}\ndependencies = [{edges}]\n'
    return head + "".join(
        f'[[package]]\nname = "{name}"\nversion = "1"\nsource = {{ registry = "{url}" }}\n'
        f'wheels = [{{ url = "https://files.example/{name}-1-py3-none-any.whl", hash = "sha256:{"a" * 64}" }}]\n'
        for name, url in registries.items()
    )


def pages(text, **indexes):
    lock = locks.from_uv_lock(text, "uv.lock", indexes=Indexes(**indexes))
    return {entry["name"]: entry["page"] for entry in lock["packages"] if "page" in entry}


A, B, MAIN = "https://a.example/simple", "https://b.example/whl/cpu/", "https://main.example/simple"


@pytest.mark.parametrize(
    ("registries", "indexes", "expected"),
    [
        ({"torch": B, "bentoml": MAIN}, {}, {"torch": "https://b.example/whl/cpu/torch/"}),
        ({"torch": B, "bentoml": A}, {}, {"torch": "https://b.example/whl/cpu/torch/"}),
        ({"torch": A, "bentoml": A, "numpy": MAIN}, {}, {"numpy": f"{MAIN}/numpy/"}),
        ({"torch": A, "bentoml": A, "numpy": MAIN}, {"default": MAIN}, {"torch": f"{A}/torch/", "bentoml": f"{A}/bentoml/"}),
        ({"torch": "https://B.example/x", "bentoml": A}, {"default": "https://b.example/x/"}, {"bentoml": f"{A}/bentoml/"}),
        ({"torch": B, "numpy": A, "idna": A}, {}, {"torch": "https://b.example/whl/cpu/torch/"}),
        ({"torch": "https://b.example/t.html", "bentoml": MAIN}, {}, {"torch": "https://b.example/t.html"}),
        # PyTorch's layout: an index has its files in its own directory.
        ({"torch": "https://files.example", "bentoml": MAIN}, {}, {"torch": "https://files.example/torch/"}),
        ({"torch": f"{B}all", "bentoml": MAIN}, {"find_links": (f"{B}all",)}, {"torch": f"{B}all"}),
        # The index from which builds fetch the package.
        ({"torch": B, "bentoml": MAIN, "numpy": MAIN}, {"extra": ("b=https://mirror.example/b", A), "explicit": {"Torch": "b", "numpy": "b"}}, {"torch": "https://mirror.example/b/torch/"}),
        ({"torch": B, "bentoml": MAIN}, {"extra": ("b=/srv/b",), "explicit": {"torch": "b"}}, {"torch": f"{B}torch/"}),
        ({"torch": "../wheels", "bentoml": MAIN}, {}, {}),
        ({"torch": A, "bentoml": A}, {}, {}),
        ({}, {}, {}),
    ],
)  # fmt: skip
def test_packages_of_another_index_have_a_page(registries, indexes, expected):
    assert pages(document(**registries), **indexes) == expected


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://alice:s3cret@b.example/simple", "uv.lock: torch: https://b.example/simple contains credentials"),
        ("https://s3cret@b.example/simple", "uv.lock: torch: https://b.example/simple contains credentials"),
        ("https://b.example/simple?token=s3cret", "uv.lock: torch: the URL of the index https://b.example/simple has a query or a"),
        ("https://b.example/simple#s3cret", "uv.lock: torch: the URL of the index https://b.example/simple has a query or a"),
        ("https://b.example/$(id)/", "uv.lock: torch: page: "),
    ],
)  # fmt: skip
def test_a_secret_of_an_index_does_not_reach_a_bento(url, message):
    with pytest.raises(BentoError) as raised:
        pages(document(torch=url, bentoml=MAIN))
    assert str(raised.value).startswith(message)
    assert "s3cret" not in str(raised.value)


def test_indexes_of_this_machine_are_not_recorded(tmp_path, indexes, monkeypatch):
    """A lock of another tool has no URLs, and uv gets them from its configuration."""
    main, cpu = indexes
    export = subset(read(uv_lock(tmp_path / "p", main, cpu))).hashed.partition("\n")[2]
    (tmp_path / "requirements.txt").write_text(export, "utf-8")
    monkeypatch.setenv("UV_INDEX", cpu)
    monkeypatch.setenv("UV_INDEX_STRATEGY", "unsafe-best-match")
    assert "127.0.0.1" not in json.dumps(read(tmp_path / "requirements.txt", default=main))
