"""Requirements with hashes, pylock.toml and uv.lock of one project are the same lock; uv writes all three."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.toml import read_toml
from rules_bento.bentos.packages import lock_with_uv
from rules_bento.bentos.packages.indexes import Indexes
from rules_bento.bentos.packages.lock_with_uv import normalize
from rules_bento.bentos.packages.requirement_syntax import parse

from tests.packages.metadata_index import Index, from_lock, package, serve

UV = os.environ["RULES_BENTO_UV"]
PYTHON = f"=={sys.version_info[0]}.{sys.version_info[1]}.*"
LOCKED = json.loads(Path("tests/requirements.lock.json").read_text("utf-8"))
LINUX = "cp{0}-cp{0}-manylinux_2_17_x86_64".format("".join(map(str, sys.version_info[:2])))
MAC = LINUX.replace("manylinux_2_17_x86_64", "macosx_11_0_arm64")

SMALL = [
    package("app", "1.0", "web[fast]>=2", "only-linux ; sys_platform == 'linux'", "old>=1"),
    package("web", "2.0", "core", extras={"fast": ["speed ; platform_machine == 'x86_64'"], "unused": ["absent"]}),
    package("core", "3.1", wheels=("py3-none-any",), sdist=True),
    package("speed", "0.9", wheels=(LINUX, MAC)),
    package("only-linux", "1", wheels=(LINUX,)),
    package("old", "1.5", sdist=True, wheels=()),
    package("absent", "1"),
    package("forked", "1.0"),
    package("forked", "2.0"),
]
SMALL_REQUIREMENTS = ["app", "forked<2 ; sys_platform == 'darwin'", "forked>=2 ; sys_platform == 'linux'"]


def uv(*arguments, directory):
    done = subprocess.run([UV, *arguments], cwd=directory, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def project(directory, address, requirements):
    """A project for uv."""
    directory.mkdir()
    (directory / "requirements.in").write_text("".join(f"{line}\n" for line in requirements), "utf-8")
    (directory / "pyproject.toml").write_text(
        f'[project]\nname = "project"\nversion = "0"\nrequires-python = "{PYTHON}"\n'
        f"dependencies = {json.dumps(requirements)}\n[tool.uv]\npackage = false\n"
        "environments = [\"sys_platform == 'linux'\", \"sys_platform == 'darwin'\"]\n"
        f'[[tool.uv.index]]\nurl = "{address}"\ndefault = true\n',
        "utf-8",
    )
    return directory


def lock_in_all_forms(directory, address, requirements):
    """uv's own locks of a project: requirements, pylock.toml, uv.lock."""
    project(directory, address, requirements)
    uv("lock", "--python", sys.executable, directory=directory)
    export = ["export", "--frozen", "--no-header", "--no-annotate", "--python", sys.executable]
    uv(*export, "--format=requirements-txt", "--output-file=requirements.txt", directory=directory)
    uv(*export, "--format=pylock.toml", "--output-file=pylock.toml", directory=directory)
    return [directory / name for name in ("requirements.txt", "pylock.toml", "uv.lock")]


def normal_form(path, address):
    return normalize(path, uv=Path(UV), requires_python=PYTHON, indexes=Indexes(default=address))


def packages(lock):
    return {(entry["name"], entry["version"]): entry for entry in lock["packages"]}


def without_unasked(entry):
    """uv.lock has the extras that are asked for; so have the others, but for an order."""
    return {key: value for key, value in entry.items() if key != "rejected_files"}


@pytest.mark.parametrize(
    ("offered", "requirements"),
    [(SMALL, SMALL_REQUIREMENTS), (from_lock(LOCKED), Path("tests/requirements.in").read_text("utf-8").splitlines())],
    ids=["small", "of this repository"],
)
def test_all_forms_of_a_project_are_the_same_lock(tmp_path, offered, requirements):
    # Which extras the project itself asks for, uv writes into uv.lock alone.
    requirements = [re.sub(r"\[.*\]", "", line) for line in requirements if line and not line.startswith("#")]
    with serve(Index(offered)) as address:
        locks = [normal_form(path, address) for path in lock_in_all_forms(tmp_path / "p", address, requirements)]
    first, *others = [{key: without_unasked(entry) for key, entry in packages(lock).items()} for lock in locks]
    assert len(first) >= 7
    for other in others:
        assert other == first
    assert all(not entry.get("rejected_files") for lock in locks for entry in lock["packages"])
    assert "127.0.0.1" not in json.dumps(locks)


def test_locks_of_other_tools_are_the_same_lock(tmp_path):
    with serve(Index(SMALL)) as address:
        [path, *_] = lock_in_all_forms(tmp_path / "p", address, ["app"])
        pins, form = parse(path.read_text("utf-8"), "")[0], 'lock-version = "2.1"\npython-versions = "*"\n'
        others = {"poetry.lock": {"package": [], "metadata": read_toml(f'{form}content-hash = ""', "")}}
        others["Pipfile.lock"] = {"_meta": {"pipfile-spec": 6}, "default": {}}
        for pin in pins:
            hashes, (name, version) = [f"sha256:{each}" for each in pin.hashes], pin.package
            more = {"markers": pin.text.partition(" ; ")[2]} if ";" in pin.text else {}
            package = {"name": name, "version": version, "groups": ["main"], **more}
            others["poetry.lock"]["package"].append(package | {"files": [{"hash": each} for each in hashes]})
            others["Pipfile.lock"]["default"][name] = {"version": f"=={version}", "hashes": hashes, **more}
        first = normal_form(path, address)
        assert len(first["packages"]) == 6
        for name, document in others.items():
            text = json.dumps(document) if name == "Pipfile.lock" else tomli_w.dumps(document)
            (path.parent / name).write_text(text, "utf-8")
            assert normal_form(path.parent / name, address) == first


def test_only_binary_of_a_lock_keeps_no_archive(tmp_path):
    with serve(Index(SMALL)) as address:
        [path, *_] = lock_in_all_forms(tmp_path / "p", address, ["core"])
        path.write_text(f"--only-binary=core\n{path.read_text('utf-8')}", "utf-8")
        [found] = normal_form(path, address)["packages"]
    assert [*found["files"]] == ["core-3.1-py3-none-any.whl"]


def test_a_file_that_was_added_to_a_release_is_rejected(tmp_path, monkeypatch):
    index = Index(SMALL)
    with serve(index) as address:
        [path, *_] = lock_in_all_forms(tmp_path / "p", address, SMALL_REQUIREMENTS)
        index.add(package("speed", "0.9", wheels=(LINUX.replace("2_17", "2_28"),)))
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
        found = packages(normal_form(path, address))["speed", "0.9"]
    added = f"speed-0.9-{LINUX.replace('2_17', '2_28')}.whl"
    assert found["rejected_files"] == [added]
    assert added not in found["files"]


def test_a_lock_for_one_platform_says_so_on_another(tmp_path):
    """uv finds the edges for all platforms, also those to packages that such a lock leaves out."""
    offered = [
        package("app", "1.0", "core", "only-mac ; sys_platform == 'darwin'"),
        package("core", "1.0"),
        package("only-mac", "1.0", "deeper"),
        package("deeper", "1.0"),
    ]
    with serve(Index(offered)) as address:
        directory = project(tmp_path / "p", address, ["app"])
        options = ["--generate-hashes", "--no-header", "--python-platform=x86_64-manylinux_2_28"]
        uv("pip", "compile", *options, f"--index-url={address}", "--python", sys.executable, "requirements.in",
           "--output-file=requirements.txt", directory=directory)  # fmt: skip
        assert "only-mac" not in (directory / "requirements.txt").read_text("utf-8")
        found = packages(normal_form(directory / "requirements.txt", address))
    assert found.keys() == {("app", "1.0"), ("core", "1.0"), ("only-mac", "1.0")}
    assert found["only-mac", "1.0"] == {"name": "only-mac", "version": "1.0", "files": {}, "unlocked": True}
    assert all(entry["files"] for entry in found.values() if entry["name"] != "only-mac")


def test_a_release_without_a_committed_hash_is_named(tmp_path):
    with serve(Index(SMALL)) as address:
        [path, *_] = lock_in_all_forms(tmp_path / "p", address, SMALL_REQUIREMENTS)
        text = path.read_text("utf-8").replace(Index(SMALL).sha256("web-2.0-py3-none-any.whl"), "0" * 64)
        path.write_text(text, "utf-8")
        message = r"the lock's hashes of web==2\.0 match no .*: web-2\.0-py3-none-any\.whl\. Check"
        with pytest.raises(BentoError, match=message):
            normal_form(path, address)


def test_a_lock_is_read_for_a_python_that_is_not_here(tmp_path):
    with serve(Index(SMALL)) as address:
        [path, *_] = lock_in_all_forms(tmp_path / "p", address, ["core"])
        lock = normalize(path, uv=Path(UV), requires_python="==3.9.*", indexes=Indexes(default=address))
    assert lock["requires_python"] == "==3.9.*"
    assert [(entry["name"], entry["version"]) for entry in lock["packages"]] == [("core", "3.1")]


SHA = "0" * 64
OWN = {
    "lock": 1,
    "requires_python": ">=3.10",
    "inputs": {"requirements": ["web"]},
    "roots": [{"name": "web", "extras": ["fast"]}],
    "packages": [{"name": "web", "version": "2.0", "files": {"web-2.0-py3-none-any.whl": SHA}, "extras": {"fast": []}}],
}
UV_LOCK = f"""\
version = 1
requires-python = ">=3.10"
[[package]]
name = "p"
version = "0"
source = {{ virtual = "." }}
dependencies = [{{ name = "web", extra = ["fast"] }}]
[package.dev-dependencies]
dev = [{{ name = "web" }}]
[[package]]
name = "web"
version = "2.0"
source = {{ registry = "https://host/simple" }}
sdist = {{ url = "https://host/web-2.0.tar.gz", hash = "sha256:{SHA}" }}
wheels = [{{ url = "https://host/web-2.0-py3-none-any.whl", hash = "sha256:{SHA}" }}]
[package.optional-dependencies]
fast = [{{ name = "web", marker = "sys_platform == 'linux'" }}]
"""
PYLOCK = f"""\
lock-version = "1.0"
[[packages]]
name = "web"
version = "2.0"
marker = "sys_platform == 'linux'"
sdist = {{ hashes = {{ sha256 = "{SHA}" }} }}
wheels = [{{ hashes = {{ sha256 = "{SHA}" }} }}]
[[packages]]
name = "own"
vcs = {{ type = "git", url = "https://host/own", commit-id = "{"a" * 40}" }}
[[packages]]
name = "archived"
archive = {{ url = "https://host/archived.zip", hashes = {{ sha256 = "{SHA}" }} }}
"""


def out_of_shape(value):
    """Yield the document with one of its values removed, or replaced by one of another kind."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        others = [None, 7, "text", [], {}, [7], {"x": 7}, True]
        for other in [other for other in others if type(other) is not type(inner)]:
            yield put(value, key, other)
        yield (
            {other: value[other] for other in value if other != key}
            if isinstance(value, dict)
            else [*value[:key], *value[key + 1 :]]
        )
        if isinstance(inner, (dict, list)):
            for changed in out_of_shape(inner):
                yield put(value, key, changed)


def put(value, key, inner):
    """Return a mapping or a list with another value in one place."""
    copied = value.copy()
    copied[key] = inner
    return copied


@pytest.mark.parametrize(("name", "text"), [("lock.json", ""), ("uv.lock", UV_LOCK), ("pylock.toml", PYLOCK)])
def test_locks_of_another_shape_are_rejected_with_a_message(tmp_path, monkeypatch, name, text):
    """Each value of each form, gone or of another kind: a BentoError that names the file, or a lock."""
    monkeypatch.setattr(lock_with_uv, "_lock_with_uv", lambda project, uv, origin: UV_LOCK)
    documents = list(out_of_shape(read_toml(text, "lock") if text else OWN))
    assert len(documents) > 120
    refused = 0
    for document in documents:
        path = tmp_path / name
        path.write_text(tomli_w.dumps(without_null(document)) if text else json.dumps(document), "utf-8")
        try:
            lock_with_uv.normalize(path, uv=Path(UV), requires_python=PYTHON)
        except BentoError as error:
            refused += 1
            assert str(error).startswith(str(path)), error
            assert re.search(r"[.`] [A-Z]\w+ ", str(error)), error
    assert refused > len(documents) // 3


def without_null(value):
    """Return what TOML can say of a document."""
    if isinstance(value, dict):
        return {key: without_null(inner) for key, inner in value.items() if inner is not None}
    return [without_null(inner) for inner in value if inner is not None] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-r more.txt", r":2: unsupported option -r\. A lock must be a single file\..*uv pip compile"),
        ("--requirement=more.txt", r":2: unsupported option --requirement"),
        ("-c limits.txt", r":2: unsupported option -c\. A lock doesn't need constraints"),
        ("-e ../x", r":2: unsupported option -e\. The option installs a directory"),
        ("--no-binary web", r":2: unsupported option --no-binary"),
        ("--config-settings x=y", r":2: unsupported option --config-settings"),
        ("web==", r":2: invalid requirement 'web=='"),
        ("web==2.0 ; sys_platform = 'x' --hash=sha256:" + "0" * 64, r":2: invalid requirement .*"),
        (
            "./web-2.0-py3-none-any.whl --hash=sha256:" + "0" * 64,
            r"is from the path web-2\.0-py3-none-any\.whl, which isn't a release",
        ),
        ("web==2.* --hash=sha256:" + "0" * 64, r":2: 'web==2\.\*' has no exact version\. Run `uv pip compile"),
        ("web==2.0,<3 --hash=sha256:" + "0" * 64, r":2: .* has no exact version"),
        ("web==2.0", r"web 2\.0 has no hash \(SHA-256\)"),
        ("web>=2 --hash=sha256:" + "0" * 64, r":2: 'web>=2' has no exact version"),
        ("web @ git+https://host/web@main --hash=sha256:" + "0" * 64, "web: 'main' isn't a commit"),
        ("web @ git+https://host/web@main", "web: 'main' isn't a commit"),
    ],
)
def test_a_line_of_a_requirements_lock_is_followed_or_rejected(tmp_path, line, message):
    path = tmp_path / "requirements.txt"
    path.write_text(f"core==3.1 --hash=sha256:{'0' * 64}\n{line}\n", "utf-8")
    with pytest.raises(BentoError, match=message):
        normal_form(path, "http://127.0.0.1:9/simple")


def test_a_lock_keeps_what_the_known_interpreters_run(tmp_path):
    kept = [
        "a-1-cp312-cp312-macosx_10_9_intel.whl",
        "a-1-cp313-cp313-manylinux_2_28_aarch64.whl",
        "a-1-cp313-cp313-musllinux_1_2_x86_64.manylinux_2_28_x86_64.whl",
        "a-1-cp315-abi3.abi3t-manylinux_2_28_x86_64.whl",
        "a-1-py3.py2-none-any.whl",
        "a-1.tar.gz",
    ]
    excluded = [
        "a-1-cp313-cp313-musllinux_1_2_x86_64.whl",
        "a-1-cp313-cp313-win_amd64.whl",
        "a-1-cp313-cp313t-manylinux_2_28_x86_64.whl",
        "a-1-pp311-pypy311_pp73-manylinux_2_28_x86_64.whl",
        "a-1-py2-none-any.whl",
    ]
    files = ", ".join(
        f'{{ url = "https://host/{name}", hash = "sha256:{"0" * 64}" }}' for name in [*excluded, *kept[:-1]]
    )
    path = tmp_path / "uv.lock"
    path.write_text(
        'version = 1\nrequires-python = ">=3.12"\n\n[[package]]\nname = "p"\nversion = "0"\nsource = { virtual = "." }\n'
        'dependencies = [{ name = "a" }]\n\n[[package]]\nname = "a"\nversion = "1"\n'
        f'source = {{ registry = "https://host/simple" }}\nwheels = [{files}]\n'
        f'sdist = {{ url = "https://host/{kept[-1]}", hash = "sha256:{"0" * 64}" }}\n',
        "utf-8",
    )
    [package] = lock_with_uv.normalize(path, uv=Path(UV), requires_python=PYTHON)["packages"]
    assert sorted(package["files"]) == kept
