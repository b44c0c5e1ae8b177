"""Bytecode in images of the commands: which interpreter compiles, and that all of them write the same bytes."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from bento_cli.cli import status
from bento_cli.sharing import native_build, native_bytecode, native_cache
from bento_cli.sharing.native_base import _find_release
from rules_bento.base.errors import BentoError
from rules_bento.bentos.service import import_twice
from rules_bento.images.registry.layout import Layout
from rules_bento.images.system_packages import SystemFiles
from rules_bento.images.wheels.bytecode import Compiler

from tests.helpers.made_wheels import Maker
from tests.helpers.tar_files import extract_all
from tests.sharing.cache_support import get_notes, has_base, push_base
from tests.sharing.front_support import Rules
from tests.sharing.image_support import STATUS, UV_BUILD, program_digest, read, read_facts
from tests.sharing.python_support import (
    BASE,
    LIBRARY,
    MINOR,
    VERSION,
    base_of,
    complete_python,
    files_of_python,
    project,
    real_base,
)
from tests.sharing.support import other_machine

__all__ = ["project"]


def build(bento, project, base, *words, code=0, out="out"):
    return bento("image", project, "--base", f"oci:{base}", "--output", f"oci:{base.parent / out}", *words, code=code)


def test_the_digest_is_that_of_python_image(project, bento, wheels, tmp_path):
    base, out = base_of(tmp_path / "base", f"PYTHON_VERSION={VERSION}"), tmp_path / "out"
    build(bento, project, base, "--bytecode-python", sys.executable)
    config, _, contents = read(out)
    history = [entry["created_by"].removeprefix("rules_bento: ") for entry in config["history"]]
    titles = ["large 1.0", "2 small packages", "bytecode of large 1.0", "bytecode of 2 small packages"]
    assert history[2:-1] == titles
    assert config["config"]["Labels"]["rules_bento.bytecode"] == VERSION
    tag = sys.implementation.cache_tag
    assert f"app/.venv/lib/python{MINOR}/site-packages/large/__pycache__/__init__.{tag}.pyc" in contents[4]
    rules = Rules(tmp_path / "rules", base, MINOR)
    rules.environment()
    large, small = (
        {name: next(wheels.glob(f"{name}-*")) for name in names} for names in (["large"], ["fastapi", "tiny"])
    )
    rules.wheels(large, {})
    rules.wheels(small, {})
    rules.bytecode(large)
    rules.bytecode(small)
    tag = rules.program("web", {path: project / path for path in ("main.py", "pyproject.toml")})
    env = {"PYTHONPATH": "/app/_main", "RUNFILES_DIR": "/app"}
    command = ["/app/.venv/bin/python", "/app/_main/main.py"]
    expected = program_digest(rules, tag, command, "/app/_main", env)
    assert Layout.open(out).find().descriptor.digest == expected
    with other_machine(project, base) as build_again:
        words = ["--base", "oci:base", f"--bytecode-python={sys.executable}"]
        assert build_again("image", "project", *words) == expected


def test_a_changed_module_of_the_project_runs(machine, wheels, bento, tmp_path, monkeypatch):
    """In a derived image, or in a mounted directory. Packages have bytecode that isn't compared with the source."""
    Maker("tiny").add({"tiny/__init__.py": "X = 1\n"}).write(wheels)
    files = {"src/web/__init__.py": "def main(): pass\nX = 1\n", "src/web/tests/__init__.py": ""}
    project = machine(files, "tiny", pyproject=f'[project.scripts]\nweb = "web:main"\n{UV_BUILD}')
    base = base_of(tmp_path / "base", f"PYTHON_VERSION={VERSION}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    build(bento, project, base, "--bytecode-python", sys.executable)
    layout = Layout.open(tmp_path / "out")
    layers = layout.find().layers()
    for layer in layers[2:]:
        with tarfile.open(layout.blob(layer.digest)) as tar:
            extract_all(tar, tmp_path / "root", "data")
    site = tmp_path / f"root/app/.venv/lib/python{MINOR}/site-packages"
    compiled = {str(path.relative_to(site).parents[1]) for path in site.rglob("*.pyc")}
    assert compiled == {"tiny", "web"}
    script = f"import sys; sys.path.insert(0, {str(site)!r}); import tiny, web; print(tiny.X, web.X)"

    def shown():
        return subprocess.run([sys.executable, "-I", "-B", "-c", script], capture_output=True, text=True).stdout.split()

    assert shown() == ["1", "1"]
    for name in ("tiny", "web"):
        path = site / name / "__init__.py"
        path.write_text(path.read_text().replace("X = 1", "X = 2"))
    assert shown() == ["1", "2"]
    [own] = (tmp_path / "cache").glob("rules_bento/native/layers/*/web-1.0-*.whl")
    rules = Rules(tmp_path / "rules", base, MINOR)
    rules.bytecode({"web": own}, "checked-hash")  # the helper's action
    assert json.loads(Path(rules.layers[-1]).read_text())["digest"] == layers[-1].digest
    (project / "src/web/__init__.py").write_text("def main(): pass\nX = 3\n")
    build(bento, project, base, "--bytecode-python", sys.executable, out="again")
    assert Layout.open(tmp_path / "again").find().layers()[-1].digest != layers[-1].digest


def test_rules_reject_bytecode_of_another_version_than_the_base(wheels, tmp_path, capsys):
    base = base_of(tmp_path / "base", "PYTHON_VERSION=3.99.7")
    rules = Rules(tmp_path / "rules", base, MINOR)
    rules.bytecode({"tiny": next(wheels.glob("tiny-*"))})
    with pytest.raises(AssertionError):
        program_digest(rules, "web:1.0", ["x"], "/", {})
    told = capsys.readouterr().err
    assert f"the base has Python 3.99.7, but the bytecode is compiled by Python {VERSION}. Select" in told
    assert "bento_tools.python in MODULE.bazel" in told


def test_headers_of_a_base_are_more_reliable_than_its_variable(project, bento, tmp_path):
    header = {f"usr/local/include/python{MINOR}/patchlevel.h": f'#define PY_VERSION "{VERSION}"\n'.encode()}
    base = base_of(tmp_path / "base", f"PYTHON_VERSION={MINOR}.99", files=BASE | header)
    build(bento, project, base, "--bytecode-python", sys.executable)
    assert read(tmp_path / "out")[0]["config"]["Labels"]["rules_bento.bytecode"] == VERSION


def test_all_interpreters_of_a_version_write_the_same_image(project, bento, tmp_path, monkeypatch):
    is_complete = complete_python()[1] == sys.executable
    base = real_base(tmp_path / "base") if is_complete else base_of(tmp_path / "base", f"PYTHON_VERSION={VERSION}")
    started = []
    plan = native_bytecode.plan_bytecode
    monkeypatch.setattr(native_build, "plan_bytecode", plan)
    words = (base, "-o", "json")

    def built(name, *more):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"{name}-cache"))
        text = build(bento, project, *words, *more, out=name)
        return json.JSONDecoder().raw_decode(text)[0]["digest"]

    named = built("named", "--bytecode-python", sys.executable)
    assert not [*(tmp_path / "named-cache/rules_bento/native").glob("interpreters/*")]
    if is_complete and not import_twice.isolation_problem():
        assert built("own") == named
        assert [*(tmp_path / "own-cache/rules_bento/native").glob("interpreters/*/root/usr/local/bin/python3")]

    def find(run):
        started.append(run.command)
        is_search = "find" in run.command
        return subprocess.CompletedProcess(run.command, 0, f"{sys.executable}\n") if is_search else start(run)

    start = native_bytecode.uv.start
    monkeypatch.setattr(native_bytecode, "_runs_here", lambda _: False)
    monkeypatch.setattr(native_bytecode.uv, "start", find)
    assert built("of-uv") == named
    assert f"cpython@{VERSION}" in [word for command in started for word in command]
    assert built("none", "--no-bytecode") != named
    monkeypatch.setattr(
        native_bytecode, "find", lambda *_: pytest.fail("an interpreter starts, but all layers are cached")
    )
    assert built("of-uv") == named


def make_program(library):
    (library.parents[3] / "bytecode_program.py").write_text("raise SystemExit('x')\n")


CHANGES = {
    "changed": lambda library: (library / "os.py").write_text("raise SystemExit('x')\n"),
    "added": lambda library: (library.parents[3] / "warnings.py").write_text("raise SystemExit('x')\n"),
    "removed": lambda library: (library / "os.py").unlink(),
    "link": lambda library: (library / "os.py").unlink() or (library / "os.py").symlink_to("stat.py"),
    "other link": lambda library: replace_link(library.parents[1] / "bin/python3", "python2"),
    "pipe": lambda library: os.mkfifo(library / "new.py"),
    "program": make_program,
}


def replace_link(path, target):
    path.unlink()
    path.symlink_to(target)


def test_an_interpreter_in_the_cache_runs_only_with_its_digests(project, bento, tmp_path, monkeypatch):
    """A changed one is unpacked again. The program that it runs isn't in the cache."""
    if complete_python()[1] != sys.executable or import_twice.isolation_problem():
        pytest.skip("the base's interpreter doesn't run here")
    monkeypatch.setattr(native_build, "plan_bytecode", native_bytecode.plan_bytecode)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    base, cache = real_base(tmp_path / "base"), tmp_path / "cache/rules_bento/native"
    digests = {read_facts(build(bento, project, base, "-o", "json"))["digest"]}
    [directory] = (cache / "interpreters").iterdir()
    assert not [*directory.rglob("bytecode_program.py")]
    files = native_cache._digests(directory, ())
    for name, change in CHANGES.items():
        change(directory / "root" / LIBRARY)
        assert native_cache._digests(directory, ()) != files, name
        shutil.rmtree(cache / "layers")
        digests.add(read_facts(build(bento, project, base, "-o", "json"))["digest"])
        assert native_cache._digests(directory, ()) == files, name
    assert len(digests) == 1


def test_a_registry_keeps_bytecode(machines, tmp_path):
    """In notes of their own, which don't repeat what the notes of the packages contain."""
    machines.base = base_of(tmp_path / "compiled", f"PYTHON_VERSION={VERSION}")
    words, cache = ("--bytecode-python", sys.executable), f"{machines.host}/bytecode"
    digest, downloaded, _ = machines.build(*words, "--cache-to", cache)
    assert len(downloaded) == 4
    assert machines.build(*words, "--cache-from", cache)[:2] == (digest, [])
    notes = get_notes(machines.host, "bytecode").values()
    assert sorted(len(note["packages"]) for note in notes) == [0, 0, 1, 3]
    assert machines.build("--no-bytecode", "--cache-from", cache)[0] != digest


def modules(monkeypatch):
    """A list to which each compiled module is added."""
    found, compile_module = [], Compiler.compile

    def note(self, path, source):
        found.extend([path.rpartition("site-packages/")[2]] if self._words[2] != "syntax" else ())
        return compile_module(self, path, source)

    monkeypatch.setattr(Compiler, "compile", note)
    return found


def test_a_changed_package_compiles_only_itself(project, bento, wheels, tmp_path, monkeypatch):
    """The image is that of a build without a cache. A damaged part of the cache is compiled again."""
    base = base_of(tmp_path / "base", f"PYTHON_VERSION={VERSION}")
    words = [base, f"--bytecode-python={sys.executable}", "-o", "json"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    build(bento, project, *words)
    compiled = modules(monkeypatch)
    lock = [os.environ["RULES_BENTO_UV"], "lock", "-q", "--python", sys.executable, "--upgrade"]

    def change(number):
        Maker("tiny", f"1.{number}").add({"tiny/__init__.py": f"X = {number}\n"}).write(wheels)
        subprocess.run(lock, cwd=project, check=True)
        compiled.clear()
        return read_facts(build(bento, project, *words))["digest"]

    changed = change(1)
    assert compiled == ["tiny/__init__.py"]
    for path in (tmp_path / "cache").glob("rules_bento/native/layers/*/part"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    again = change(2)
    assert sorted(compiled) == ["fastapi/__init__.py", "tiny/__init__.py"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    assert read_facts(build(bento, project, *words))["digest"] == again != changed


def test_another_base_compiles_nothing_with_a_trusted_interpreter(project, bento, tmp_path, monkeypatch):
    """The user's, or uv's. What the base's own interpreter compiled is only for its base."""
    first, second = (base_of(tmp_path / name / "base", f"PYTHON_VERSION={VERSION}", f"X={name}") for name in "ab")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compiled = modules(monkeypatch)
    words = f"--bytecode-python={sys.executable}", "-o", "json"
    for base, count in ((first, 3), (second, 0)):
        compiled.clear()
        found = read_facts(build(bento, project, base, *words))["digest"]
        assert len(compiled) == count
    monkeypatch.setattr(native_build, "plan_bytecode", native_bytecode.plan_bytecode)
    monkeypatch.setattr(
        native_bytecode,
        "_start_of_uv",
        lambda build, *_: native_bytecode._start(sys.executable, build, "unchecked-hash"),
    )
    for runs_here, count in ((False, 0), (True, 3)):
        (tmp_path / f"{runs_here}").mkdir()
        third = base_of(tmp_path / f"{runs_here}/base", f"PYTHON_VERSION={VERSION}", f"X={runs_here}")
        monkeypatch.setattr(native_bytecode, "_runs_here", lambda _, runs_here=runs_here: runs_here)
        compiled.clear()
        build(bento, project, third, *words[1:])
        assert len(compiled) == count
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    assert read_facts(build(bento, project, second, *words))["digest"] == found


def test_commands_that_start_together_compile_each_module_once(project, wheels, tmp_path):
    """With one empty cache. All build the image of a single command."""
    base, logs = base_of(tmp_path / "base", f"PYTHON_VERSION={VERSION}"), tmp_path / "logs"
    logs.mkdir()
    python = tmp_path / "python.sh"  # which keeps what the interpreter reads
    python.write_text(f'#!/bin/sh\n/usr/bin/tee {logs}/$$ | {sys.executable} "$@"\n')
    python.chmod(0o755)
    code = "import sys; from bento_cli.cli import main; sys.exit(main())"
    path = os.pathsep.join(map(os.path.abspath, ["py", *filter(None, sys.path)]))
    env = {**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    words = [sys.executable, "-c", code, "image", project, "--base", f"oci:{base}", f"--bytecode-python={python}"]
    started = [
        subprocess.Popen([*words, "--output", f"oci:{tmp_path}/{number}"], env=env, stderr=subprocess.DEVNULL)
        for number in range(4)
    ]
    assert [process.wait(600) for process in started] == [0] * 4
    assert len({Layout.open(tmp_path / str(number)).find().descriptor.digest for number in range(4)}) == 1
    compiled = [name for log in logs.iterdir() for name in re.findall(rb"site-packages/(\w+)/", log.read_bytes())]
    assert sorted(compiled) == [b"fastapi", b"large", b"tiny"]


NAME = "standard library bytecode"
LACKING = BASE | {f"{LIBRARY}/{name}.py": b"X = 1\n" for name in ("json/__init__", "re", "test/x", "site-packages/y")}


def library_layer(layout):
    """The digest and the files of the layer with bytecode of the standard library, which is the first of ours."""
    config, manifest, contents = read(layout)
    names = [entry["created_by"].removeprefix("rules_bento: ") for entry in config["history"]]
    if NAME not in names:
        return None
    assert names.index(NAME) == 1
    return manifest["layers"][1]["digest"], [path for path in contents[1] if path.endswith(".pyc")]


def test_a_base_without_bytecode_has_one_layer_for_all_projects(project, machine, bento, tmp_path, monkeypatch):
    """With what the base lacks, compiled once. A changed line, another machine, and another project have the same."""
    base = base_of(tmp_path / "base", f"PYTHON_VERSION={VERSION}", files=LACKING)
    words = [base, f"--bytecode-python={sys.executable}"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compiled = modules(monkeypatch)
    build(bento, project, *words)
    digest, files = library_layer(tmp_path / "out")
    tag = sys.implementation.cache_tag
    assert files == [f"{LIBRARY}/__pycache__/re.{tag}.pyc", f"{LIBRARY}/json/__pycache__/__init__.{tag}.pyc"]
    assert {f"/{LIBRARY}/re.py", f"/{LIBRARY}/json/__init__.py"} == {each for each in compiled if LIBRARY in each}
    compiled.clear()
    (project / "main.py").write_text("import fastapi\n")
    build(bento, project, *words, out="changed")
    machine({}, "flask")
    build(bento, project, *words, out="other")
    assert library_layer(tmp_path / "changed") == library_layer(tmp_path / "other") == (digest, files)
    assert [each for each in compiled if LIBRARY in each] == []
    with other_machine(project, base) as build_again:
        same = build_again("image", "project", "--base", "oci:base", words[1])
    assert Layout.open(tmp_path / "other").find().descriptor.digest == same
    build(bento, project, base, "--no-bytecode", out="none")
    replaced = f"/{LIBRARY}/re.py"
    build(bento, project, *words, f"--file={project}/main.py={replaced}", f"--replace={replaced}", out="replaced")
    build(bento, project, base_of(tmp_path / "full", f"PYTHON_VERSION={VERSION}"), words[1], out="compiled")
    assert [library_layer(tmp_path / name) for name in ("none", "replaced", "compiled")] == [None] * 3


def test_a_registry_keeps_bytecode_of_a_base(machines, tmp_path, monkeypatch):
    """Another machine reads no layer of the base, and compiles nothing. Repeated pushes send nothing."""
    _, layer = push_base(machines, "library", base_of(tmp_path / "real", f"PYTHON_VERSION={VERSION}", files=LACKING))
    words, cache = f"--bytecode-python={sys.executable}", f"{machines.host}/library"
    digest, *_ = machines.build(words, "--cache-to", cache)
    compiled = modules(monkeypatch)
    assert machines.build(words, "--cache-from", cache)[:2] == (digest, [])
    assert not compiled
    assert not has_base(machines, layer)
    [note] = [note for note in get_notes(machines.host, "library").values() if "python" in note]
    assert note["uncompiled"] == 2


@pytest.mark.parametrize("is_local", [False, True])
def test_an_interpreter_of_uv_replaces_layers_of_a_base(is_local, monkeypatch, tmp_path):
    """Only of a base that a note describes. Otherwise, the order is the base's own, and uv's."""
    started = []

    def start(name):
        def fail(*_):
            started.append(name)
            raise BentoError(f"no {name}")

        return fail

    monkeypatch.setattr(native_bytecode, "_runs_here", lambda _: True)
    for name in ("_start_of_uv", "_start_in_base"):
        monkeypatch.setattr(native_bytecode, name, start(name))
    image = SimpleNamespace(layers=[SimpleNamespace(digest="x")])
    blob = Path(__file__) if is_local else tmp_path / "none"
    layout = SimpleNamespace(blob=lambda _: blob)
    base = SimpleNamespace(image=image, layout=layout, name="base")
    with pytest.raises(BentoError, match=r"lacks \(the base's interpreter doesn't run: no _start_in_base\)\. Run"):
        native_bytecode.find(SimpleNamespace(settings={}, stack=ExitStack()), base, VERSION, "unchecked-hash")
    assert started == (["_start_in_base", "_start_of_uv"] if is_local else ["_start_of_uv", "_start_in_base"])


@pytest.mark.parametrize(
    ("variables", "words", "problem"),
    [
        ([f"PYTHON_VERSION={MINOR}.99"], ["--bytecode-python", sys.executable], rf"--bytecode-python: \S+ is Python {re.escape(VERSION)}, but oci:\S+ has Python {MINOR}\.99\. Name an"),
        ([f"PYTHON_VERSION={VERSION}"], ["--bytecode-python=/none"], r"cannot run /none: No such file or directory"),
        ([f"PYTHON_VERSION={VERSION}"], ["--bytecode-python=/bin/true"], r"cannot compile the module.*--no-bytecode"),
    ],
)  # fmt: skip
def test_an_interpreter_of_another_version_is_an_error(
    variables, words, problem, project, bento, tmp_path, monkeypatch
):
    monkeypatch.setattr(native_build, "plan_bytecode", native_bytecode.plan_bytecode)
    base = base_of(tmp_path / "base", *variables)
    told = build(bento, project, base, *words, code=status.ERROR)
    assert re.search(problem, " ".join(told.split())), told
    assert not (tmp_path / "out").exists()
    build(bento, project, base, "--no-bytecode")
    assert "rules_bento.bytecode" not in read(tmp_path / "out")[0]["config"]["Labels"]


@pytest.mark.parametrize(
    ("variables", "note"),
    [
        ([], r"has no bytecode: oci:\S+ specifies no exact version of Python, and can't run here"),
        ([f"PYTHON_VERSION={MINOR}.99"], rf"Python {MINOR}\.99, which this machine lacks.* `uv python install {MINOR}\.99`"),
    ],
)  # fmt: skip
def test_without_an_interpreter_the_image_has_no_bytecode(variables, note, project, bento, tmp_path, monkeypatch):
    monkeypatch.setattr(native_build, "plan_bytecode", native_bytecode.plan_bytecode)
    base = base_of(tmp_path / "base", *variables, files=LACKING)
    told = build(bento, project, base)
    assert re.search(note, " ".join(told.split())), told
    build(bento, project, base, "--no-bytecode", out="none")
    assert read(tmp_path / "out")[0] == read(tmp_path / "none")[0]


def test_the_interpreter_of_a_base_states_its_version(project, bento, tmp_path, monkeypatch):
    if import_twice.isolation_problem():
        pytest.skip("the base's interpreter can't run here")
    monkeypatch.setattr(native_build, "plan_bytecode", native_bytecode.plan_bytecode)
    version = complete_python()[0]
    base = base_of(tmp_path / "base", f"PYTHON_VERSION={version.rpartition('.')[0]}", files=files_of_python())
    build(bento, project, base)
    assert read(tmp_path / "out")[0]["config"]["Labels"]["rules_bento.bytecode"] == version


@pytest.mark.parametrize(
    ("python", "files", "variable", "packages", "release"),
    [
        ("/usr/local/bin/python3", {}, "3.12.4", [("python3.12-minimal", "3.12.9-1")], "3.12.4"),
        ("/usr/local/bin/python3", {"usr/local": "3.12.5"}, "3.12.4", [], "3.12.5"),
        ("/usr/local/bin/python3", {"opt": "3.12.5"}, "3.12", [("python3.12-minimal", "3.12.9-1")], ""),
        ("/usr/bin/python3", {}, "", [("python3.11", "3.11.2-6"), ("python3.12-minimal", "3.12.9-1")], "3.12.9"),
        ("/usr/bin/python3", {}, "", [("python3", "3.12.11-r0")], "3.12.11"),
        ("/usr/bin/python3", {}, "", [("python3", "3.12-1")], ""),
        ("/usr/bin/python3", {}, "", [("python3.12-minimal", "3.12.0~rc2-1")], ""),
        ("/usr/bin/python3", {"usr": "3.12.0rc2"}, "", [], "3.12.0rc2"),
        ("/usr/local/bin/python3", {}, "3.12.0b4", [], "3.12.0b4"),
        ("/usr/bin/python3", {"usr": "3.12.1+"}, "3.13.1", [], ""),
    ],
)
def test_the_exact_version_of_a_base_is_known_without_running_it(python, files, variable, packages, release):
    found = {
        f"{prefix}/include/python3.12/patchlevel.h": f'#define PY_VERSION      \t"{text}"\n'.encode()
        for prefix, text in files.items()
    }
    status_file = "".join(STATUS.format(*package) for package in packages).encode()
    system = SystemFiles.from_files({"var/lib/dpkg/status": status_file})
    assert _find_release(found, {"PYTHON_VERSION": variable}, system, python, "3.12") == release
