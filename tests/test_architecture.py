"""Packages form floors, which docs/contributing/architecture.md shows, in two distributions with one direction."""

import ast
import collections
import re
import shlex
import sys
from functools import cache
from pathlib import Path

import pytest
from rules_bento.base.formats.toml import read_toml
from rules_bento.bentos.packages.uv import Run, find_uv, start

PY = Path("py")
DISTRIBUTIONS = ("rules_bento", "bento_cli")
FLOORS = ("base", "bentos", "images", "actions", "run")


def sources() -> list[Path]:
    """The files of both distributions. The third, bento_proof, imports none of them, as its tests state."""
    return [path for name in DISTRIBUTIONS for path in (PY / name).rglob("*.py")]


@cache
def layers() -> dict[tuple[str, str], tuple[int, str]]:
    """The layers of packages, by floor and name. `.` is the floor's own modules, and `+` joins packages to one."""
    rows = (
        Path("docs/contributing/architecture.md")
        .read_text("utf-8")
        .partition("```floors\n")[2]
        .partition("```")[0]
        .splitlines()
    )
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for floor, groups in (row.split(maxsplit=1) for row in reversed(rows)):
        for group in reversed(groups.split(" > ")):
            layer = len({number for number, _ in found.values()})
            found |= {(floor, name): (layer, joined) for joined in group.split() for name in joined.split("+")}
    return found


def unit(parts: tuple[str, ...]) -> tuple[str, str]:
    """The floor and the package of a module, or of a name in it."""
    floor, *names = parts[1:] if parts[0] == "rules_bento" else parts
    return floor, next((name for name in names[:1] if (floor, name) in layers()), ".")


@cache
def imported(path: Path) -> set[tuple[str, ...]]:
    """The names of ours that a file imports, also late, and for annotations alone: their parts."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {
        f"{node.module}.{alias.name}"
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    return {parts for name in names if (parts := tuple(name.split(".")))[0] in DISTRIBUTIONS and len(parts) > 1}


def test_a_package_imports_from_layers_below_its_own():
    layer = layers()
    files = {path: path.relative_to(PY).with_suffix("").parts for path in sources()}
    tops = [(name, "__init__") for name in (*DISTRIBUTIONS, *FLOORS)]
    files = {path: unit(parts) for path, parts in files.items() if parts[-2:] not in tops}
    assert set(files.values()) == set(layer)
    assert list(dict.fromkeys(floor for floor, _ in layer)) == [*FLOORS, "bento_cli"]
    wrong = [
        f"{path} imports {name}"
        for path, own in files.items()
        for name in map(unit, imported(path))
        if layer[name] != layer[own] and layer[name][0] >= layer[own][0]
    ]
    assert not wrong


def test_a_list_of_the_directory_shows_the_floors():
    package = PY / "rules_bento"
    assert {path.relative_to(package).parts[0] for path in package.rglob("*.py")} == {*FLOORS, "__init__.py"}


def test_the_library_imports_nothing_of_the_command():
    files = (PY / "rules_bento").rglob("*.py")
    assert not [path for path in files if any(parts[0] == "bento_cli" for parts in imported(path))]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_file_name_occurs_once_in_a_distribution(distribution):
    names = collections.Counter(path.name for path in (PY / distribution).rglob("*.py"))
    assert [name for name, count in names.items() if count > 1] == ["__init__.py"]


def files_imported(path: Path) -> set[Path]:
    """The files of ours that a file names in its imports, those for a type checker included."""
    modules = {PY.joinpath(*parts[:length]).with_suffix(".py") for parts in imported(path) for length in (-1, None)}
    return {module for module in modules if module.exists()}


def test_no_two_files_import_each_other():
    imports = {path: files_imported(path) for path in sources()}
    below: dict[Path, set[Path]] = {}
    for file in imports:
        below[file], following = set(), [file]
        while following:
            new = imports[following.pop()] - below[file]
            below[file] |= new
            following += new
    assert not {file for file in imports if file in below[file]}


def test_each_dependency_has_one_lower_bound():
    """Installers accept old versions that lack what the code imports, such as packaging.licenses."""
    bounds = collections.defaultdict(set)
    for path in (PY / "pyproject.toml", PY / "bento_cli/pyproject.toml"):
        project = read_toml(path.read_text("utf-8"), str(path))["project"]
        extras = [some for name, some in project["optional-dependencies"].items() if name != "test"]
        for text in [*project["dependencies"], *(each for some in extras for each in some)]:
            name, bound = re.match(r"([a-z0-9-]+)(?:\[[a-z0-9,-]+])?(\S*)", text).groups()
            if not name.startswith("rules-bento"):
                bounds[name].add(bound)
    # Digests depend on the compressors, so actions and the command have one version.
    locked = Path("tools/locks/tools.in").read_text("utf-8").splitlines()
    for name in ("zlib-ng", "zstandard"):
        [bound] = bounds.pop(name)
        assert f"{name}{bound}" in locked and bound.startswith("==")
    assert {name: found for name, found in bounds.items() if len(found) > 1 or ">=" not in "".join(found)} == {}
    assert bounds["packaging"] == {">=24.2"}


def test_uv_of_the_environment_is_found_before_uv_on_path(tmp_path, monkeypatch):
    for name in ("environment", "path"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "uv").write_text("#!/bin/sh\n")
        (tmp_path / name / "uv").chmod(0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "environment" / "python"))
    path = str(tmp_path / "path")
    assert find_uv(path) == str(tmp_path / "environment" / "uv")
    (tmp_path / "environment" / "uv").chmod(0o644)
    assert find_uv(path) == str(tmp_path / "path" / "uv")
    assert find_uv("") is None


def test_programs_are_found_only_in_absolute_directories():
    """`programs.which` ignores relative entries of PATH, which could select a program of the current project."""
    files = [path for path in sources() if "shutil.which" in path.read_text("utf-8")]
    assert files == [PY / "rules_bento/base/programs.py"]


ONE_HOME = {
    # What an answer is made of: the file that answers, and others that mean something else.
    r"os\.walk\(|os\.scandir\(|\.rglob\(": {
        "rules_bento/base/tree_walk.py",
        "rules_bento/base/namespaces.py",  # links of directories to mount
        "bento_cli/store/entry_store.py",  # names of entries, one level deep
        "rules_bento/images/unpack_image.py",  # removes directories of any depth and size
    },
    r"content_identity\(|model_store\.describe\(": {
        "rules_bento/bentos/assembly/bento_yaml.py",
        "rules_bento/bentos/assembly/write_bento.py",  # of a new Bento
        "rules_bento/bentos/models/model.py",
        "rules_bento/bentos/models/model_store.py",
        "bento_cli/store/entry_contents.py",
    },
    r"Version\(.+\) [=!]= |[=!]= Version\(": {"rules_bento/bentos/packages/requirement_syntax.py"},
    r"ast\.parse\(": {"rules_bento/base/python_source.py"},  # which limits the time
    r"'Basic |\"Basic ": {"rules_bento/base/net/host_settings.py"},
    r'"Authorization"': {  # each compares the server's origin with the one that the login is for
        "rules_bento/images/registry/auth.py",
        "rules_bento/images/registry/client.py",
        "bento_cli/transports/http.py",
    },
    r"/home/bentoml\b": {
        "rules_bento/bentos/assembly/env/common.py",  # the entry point, a shell script
        "rules_bento/bentos/assembly/env/dockerfile.py",
        "rules_bento/images/plan.py",
    },
    r'"aarch64"': {
        "rules_bento/base/namespaces.py",  # numbers of system calls
        "rules_bento/bentos/packages/platforms.py",
        "rules_bento/bentos/packages/wheel_choice.py",  # the oldest glibc
    },
    r"__pycache__|DS_Store": {
        "rules_bento/base/tree_walk.py",
        "rules_bento/images/wheels/bytecode.py",  # writes bytecode into layers
        "rules_bento/images/reports/layer_contents.py",  # counts it
    },
}


@pytest.mark.parametrize("pattern", ONE_HOME)
def test_a_question_is_answered_in_one_file(pattern):
    texts = {path.relative_to(PY).as_posix(): path.read_text("utf-8") for path in sources()}
    assert {path for path, text in texts.items() if re.search(pattern, text)} == ONE_HOME[pattern]


# May only decrease: give new errors a place or a remedy.
MAX_ERRORS_WITHOUT_FIELDS = 153


def has_fields(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and bool({"place", "remedy"} & {each.arg for each in node.keywords})


def test_errors_have_a_place_or_a_remedy():
    """Fronts replace remedies, and `--json` prints the fields, so a message isn't one string."""
    raised = [
        node.exc
        for path in PY.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) == "BentoError"
    ]
    assert len([error for error in raised if not has_fields(error)]) <= MAX_ERRORS_WITHOUT_FIELDS


def starts_of(path: Path) -> list[ast.Call]:
    """The calls in a file that can start a program, by the names of their functions."""
    started = re.compile(
        r"(subprocess\.(run|Popen|call|check_\w+|getoutput|getstatusoutput)|os\.(exec|spawn|posix_spawn|popen|system).*)"
    )
    aliases = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "subprocess")
        for alias in node.names
    }
    calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    names = [ast.unparse(call.func) for call in calls]
    return [call for call, name in zip(calls, names, strict=True) if started.fullmatch(aliases.get(name, name))]


def mentions_uv(call: ast.Call) -> bool:
    words = {word for node in ast.walk(call) for word in (getattr(node, "id", ""), getattr(node, "attr", ""))}
    words |= {node.value for node in ast.walk(call) if isinstance(node, ast.Constant)}
    return bool({"uv", "_uv", "find_uv", "require_uv"} & words)


def test_one_function_starts_uv():
    starts = {path: starts_of(path) for path in PY.rglob("*.py")}
    [(path, calls)] = [(path, calls) for path, calls in starts.items() if path.name == "uv.py"]
    functions = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)]
    owners = [node.name for node in functions for call in calls if node.lineno <= call.lineno <= node.end_lineno]
    assert (owners, len(calls)) == (["_start"], 1)
    assert [each.name for each in functions if each.name != "_start" and "_start(" in ast.unparse(each)] == ["start"]
    assert not [path for path, calls in starts.items() if path.name != "uv.py" and any(map(mentions_uv, calls))]


STARLARK = [path for top in ("private", "rules", "toolchains") for path in Path(top).rglob("*.bzl")]
PROGRAMS = [path for top in ("py", "toolchains", "tools") for path in Path(top).rglob("*.py")]
INTERPRETERS = (
    r"sys\.executable|(str\()?(\w+\.)*(python|interpreter|compiler|chosen)\)?|interpreter\(.*|f?'.*/bin/python3?'"
)
INTERPRETERS += r"|rctx\.read\(.*(python|interpreter|compiler).*|order\['python'\]"
ISOLATED = r"'-I'|\*?_?(INTERPRETER|TRUSTED)\w*"


def starts_python(node: ast.AST) -> bool:
    """Whether a sequence is the beginning of a command of Python, with all of its flags, or is a set of flags."""
    words = [ast.unparse(item) for item in node.elts]
    first, *rest = [word for word in words if word not in ("*starter", "'env'", "'-i'", "'PYTHONHASHSEED=0'")] or [""]
    is_command = re.fullmatch(INTERPRETERS, first) and isinstance(node, ast.List) and rest
    is_command = is_command and not re.fullmatch(rf"{INTERPRETERS}|DefaultInfo.*|.*\.files", rest[0])
    return bool(is_command or (rest and {"'-m'", "'-s'", "'-S'", "'-B'"} & {*words}))


def unexplained(path: Path) -> list[str]:
    """The starts of Python in a file without -I, except for those whose comment names the reason."""
    text = path.read_text("utf-8")
    lines = text.splitlines()
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, (ast.List, ast.Tuple)) or not starts_python(node):
            continue
        is_isolated = any(re.fullmatch(ISOLATED, ast.unparse(item)) for item in node.elts)
        comments = re.findall(r"#.*", "\n".join(lines[max(0, node.lineno - 5) : node.end_lineno]))
        if not is_isolated and not any(re.search(r"-I\b", comment) for comment in comments):
            found.append(f"{path}:{node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("run([python, '-m', 'compileall', directory])", 1),
        ("run([*starter, interpreter, '-s', '-S', program])", 1),
        ("rctx.execute([interpreter(rctx), program])", 1),
        ("rctx.execute([rctx.read(rctx.attr.compiler), '-s', '-S', program])", 1),
        ("run([sys.executable, '-c', code])", 1),
        ("_FLAGS = ('-s', '-S', '-B')", 1),
        ("# Without -I: it reads variables.\nrun([sys.executable, '-c', code])", 0),
        ("run([sys.executable, '-I', '-c', code])", 0),
        ("run([git, '-c', 'a=b'])", 0),
    ],
)
def test_starts_of_python_are_found(tmp_path, code, count):
    (tmp_path / "a.py").write_text(code, "utf-8")
    assert len(unexplained(tmp_path / "a.py")) == count


@pytest.mark.parametrize("files", [STARLARK, PROGRAMS], ids=["starlark", "python"])
def test_python_starts_isolated(files):
    """-I keeps the current directory, variables, and the user's packages off the import path."""
    assert len(files) > 50
    assert not [start for path in files for start in unexplained(path)]


def test_bazel_unpacks_only_trusted_archives():
    """Bazel 7 writes members with `../` of zip, tar, and ar archives outside of the directory."""
    found = {path.name: re.findall(r"\.(?:download_and_)?extract\(", path.read_text("utf-8")) for path in STARLARK}
    assert {name: len(calls) for name, calls in found.items() if calls} == {"python_debs.bzl": 3, "tools.bzl": 2}
    assert not [path for path in STARLARK if re.search(r"\bhttp_archive\b", path.read_text("utf-8"))]


def test_actions_with_an_interpreter_have_flags():
    for path in STARLARK:
        text = path.read_text("utf-8")
        started = re.findall(r"executable = (?:program\.)?python\.interpreter\b", text)
        assert len(started) == len(re.findall(r"\.add_all\((?:INTERPRETER|COMPILER)_FLAGS\)", text)), path


def test_callers_leave_the_flags_and_variables_of_uv_to_its_function():
    imports = re.compile(r"packages(\.uv)? import (\([^)]*|.*)\b(uv|start)\b")
    callers = {path: text for path in PY.rglob("*.py") if imports.search(text := path.read_text("utf-8"))}
    assert len(callers) >= 8
    flags = re.compile(r'"--(cache-dir|config-file|isolated|no-config|project|no-project)\b')
    assert not [path.name for path, text in callers.items() if flags.search(text)]
    nodes = [(path.name, node) for path, text in callers.items() for node in ast.walk(ast.parse(text))]
    runs = [(name, ast.unparse(node)) for name, node in nodes if isinstance(node, ast.Call)]
    runs = [(name, text) for name, text in runs if re.match(r"((uv|uv_program)\.)?Run\(", text)]
    assert len(runs) >= 10
    assert [name for name, text in runs if "'project'" in text] == ["uv_lock_check.py"] * 2  # has limits of its own
    assert not [text for _, text in runs if "os.environ" in text]


@pytest.mark.parametrize(
    ("words", "config", "expected"),
    [
        (["pip", "compile"], "", ["--no-config", "--python"]),
        (["pip", "compile"], "directory", ["--python"]),
        (["pip", "sync"], "/x/uv.toml", ["--config-file", "--python"]),
        (["lock"], "project", []),
        (["python", "find"], "", ["--no-config"]),
        (["lock", "--python", "/x"], "directory", []),
    ],
)
def test_the_flags_of_uv_are_never_forgotten(tmp_path, words, config, expected):
    program = tmp_path / "uv"
    code = "import os, sys; print([os.getcwd(), os.listdir(), *sys.argv[1:]])"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(str(Path(sys.executable).absolute()))} -I -c "{code}" "$@"\n')
    program.chmod(0o755)
    shown = ast.literal_eval(start(Run([str(program), *words], config=config)).stdout)
    assert [word for word in shown[2 + len(words) :] if word.startswith("--")] == expected
    assert "rules_bento-uv-" in shown[0]
    assert shown[1] == ["pyproject.toml"]
