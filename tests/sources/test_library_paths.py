"""A Bento's src/ has each library file at its path in the repository, and imports find what they find in a `py_test`."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.bentos.sources.library_paths import (
    ImportPath,
    add_loaders,
    declare_libraries,
    importable,
    is_loader,
    possible_paths,
)
from rules_bento.bentos.sources.snapshot import DeclaredFile, digest, members, select

# Imports modules, and prints what a program sees of each: the file, its text, a file above it, and resources beside it.
LOOK = """
import importlib, importlib.resources, importlib.util, json, os, sys
top, names, found = sys.argv[1], sys.argv[2].split(), {}
sys.path[:0] = json.loads(sys.argv[3])
importlib.import_module(sys.argv[4])
def seen(path):
    return None if path is None else os.path.relpath(path, top)
for name in names:
    try:
        module = importlib.import_module(name)
        resources = sorted(each.name for each in importlib.resources.files(name).iterdir()) \\
            if hasattr(module, "__path__") else []
    except ImportError:
        continue
    file = getattr(module, "__file__", None)
    found[name] = [seen(file), getattr(module, "VALUE", None), module is sys.modules[name],
        file and os.path.exists(os.path.join(os.path.dirname(file), "data.txt")),
        file is None or "data.txt" in resources, seen(importlib.util.find_spec(name).origin)]
print(json.dumps(found))
"""


def declare(files: dict[str, Path], build_ctx: str, own: tuple[str, ...] = ()) -> list[DeclaredFile]:
    """Return declared files. `files` maps short paths to files; the sources of the Bento are `own`, others libraries."""
    libraries = [(str(file), path, f"//{path}") for path, file in files.items() if path not in own]
    sources = [DeclaredFile(path.removeprefix(f"{build_ctx}/"), str(files[path]), "srcs //svc:b") for path in own]
    return [*sources, *declare_libraries(libraries, build_ctx)]


def write(files: dict[str, str], directory: Path) -> dict[str, Path]:
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)
    return {path: directory / path for path in files}


def unpack(written: list[DeclaredFile], directory: Path) -> Path:
    for member in members(written, digest(written)):
        path = directory / member.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Path(member.source).read_bytes() if member.source else member.data or b"")
    return directory / "src"


def write_bento(
    declared: list[DeclaredFile], roots: list[str], directory: Path, build_ctx: str = "svc", service: str = "service"
) -> Path:
    """Write a Bento's src/, and return the directory. Names of other repositories end with `+`."""
    tops = {file.path.partition("/")[0] for file in declared}
    path = ImportPath(roots, {top for top in tops if top.endswith("+")}, build_ctx)
    found, sources = importable(select(declared).kept, path)
    return unpack(add_loaders(found, sources, path, service), directory)


def look(top: Path, names: list[str], path: list[Path], service: str) -> dict[str, list[object]]:
    arguments = [
        sys.executable,
        "-I",
        "-S",
        "-B",
        "-c",
        LOOK,
        str(top),
        " ".join(names),
        json.dumps([str(p) for p in path]),
        service,
    ]
    found: dict[str, list[object]] = json.loads(subprocess.check_output(arguments, text=True))
    return found


def both(
    files: dict[str, str], roots: list[str], directory: Path, build_ctx: str = "svc", own: tuple[str, ...] = ()
) -> tuple[dict[str, list[object]], dict[str, list[object]]]:
    """Return what imports of all modules see in a test, and in the Bento."""
    main = directory / "runfiles/_main"
    declared = declare(write(files, main), build_ctx, own)
    service = "service" if build_ctx else "svc.service"
    src = write_bento(declared, roots, directory / "bento", build_ctx, service)
    parts = [path.removesuffix(".py").removesuffix("/__init__").removeprefix("../other+/").split("/") for path in files]
    names = sorted(
        {".".join(each[i:j]) for each in parts for i in range(len(each)) for j in range(i + 1, len(each) + 1)}
    )
    path = [main / build_ctx, *(main.parent / root for root in roots), main, *main.parent.glob("*+")]
    test = look(main, names, path, service)
    return test, look(src, names, [src], service)


def test_imports_see_in_the_bento_what_they_see_in_a_test(tmp_path: Path) -> None:
    chosen = random.Random(4)
    imported = 0
    for number in range(40):
        folders = ["svc", "svc/app", "lib", "lib/src", "lib/src/acme", "lib/src/acme/sub", "other/py", "other/py/acme"]
        folders += ["../other+/acme", "../other+/src/acme", "../other+/lib/sub"]
        folders = [folder for folder in folders if chosen.random() < 0.7]
        files = {f"{folder}/m{chosen.randrange(4)}.py": f"VALUE = {folder!r}\n" for folder in folders}
        files |= {f"{folder}/__init__.py": "from . import *\n" for folder in folders if chosen.random() < 0.4}
        files |= {f"{folder}/data.txt": folder for folder in folders if chosen.random() < 0.6}
        own = tuple(
            path for path in files if path.startswith("svc/") and path.endswith(".py") and chosen.random() < 0.3
        )
        files["svc/service.py"] = ""
        own += ("svc/service.py",)
        roots = ["_main/lib/src", "_main/other/py", "_main/svc", "_main/lib", "other+/src"]
        roots = [root for root in roots if chosen.random() < 0.6]
        try:
            test, bento = both(files, roots, tmp_path / str(number), "" if number % 4 == 0 else "svc", own)
        except BentoError as error:
            assert "same Python module" in str(error)
            continue
        libraries = [path for path in files if path not in own]
        for name, (file, *seen) in test.items():
            below = name.replace(".", "/") + "/"
            # The Bento's own sources are relative to the build context, and only there.
            if file in own or (file is None and not any(below in path for path in libraries)):
                continue
            imported += 1
            is_loaded = any(path.endswith(".txt") and not path.startswith("svc/") for path in files)
            file = file and str(file).removeprefix("../")
            seen[-1] = seen[-1] and str(seen[-1]).removeprefix("../")
            places = [file] if is_loaded else [file, str(file).removeprefix("svc/")]
            assert bento.get(name) in [[place, *seen[:-1], seen[-1] and place] for place in places], (
                number,
                name,
                files,
                roots,
                own,
            )
    assert imported > 300


@pytest.mark.parametrize(
    ("short_path", "build_ctx", "expected"),
    [
        ("lib/text/words.py", "svc", ["lib/text/words.py"]),
        ("lib/text/words.py", "", ["lib/text/words.py"]),
        ("lib/text/pkg/a.py", "lib/text", ["lib/text/pkg/a.py", "pkg/a.py"]),
        ("lib/text/words.py", "lib/text/words", ["lib/text/words.py"]),
        ("../foo+/src/pkg/a.py", "svc", ["foo+/src/pkg/a.py"]),
        ("lib/a.py", "../foo+/src", ["_main/lib/a.py"]),
        ("../foo+/src/pkg/a.py", "../foo+/src", ["src/pkg/a.py", "pkg/a.py"]),
    ],
)
def test_paths_of_a_file(short_path: str, build_ctx: str, expected: list[str]) -> None:
    assert possible_paths(short_path, build_ctx) == expected


def test_patterns_apply_to_all_paths_of_a_file_in_the_build_context() -> None:
    files = {path: Path(path) for path in ("svc/pkg/a.py", "svc/.bentoignore")}
    declared = declare(files, "svc")
    assert [file.path for file in declared] == ["svc/pkg/a.py", "pkg/a.py", "svc/.bentoignore", ".bentoignore"]
    selection = select([file for file in declared if not file.path.endswith("ignore")], exclude=["pkg/"])
    assert not selection.kept
    dropped = selection.find_dropped(["svc/pkg/a.py"])
    assert dropped
    assert "pattern 1 of exclude ('pkg/')" in str(selection.reason(dropped))
    [ignored] = [file for file in declared if file.path == "svc/.bentoignore"]
    assert not ignored.in_context


@pytest.mark.parametrize("short_path", ["/etc/passwd", "lib/../../a.py", "../foo+"])
def test_rejected_paths(short_path: str) -> None:
    with pytest.raises(BentoError, match=r"^//lib: deps contains '.*', which is absolute or outside the repository\."):
        list(declare_libraries([(short_path, short_path, "//lib")], "svc"))


@pytest.mark.parametrize(
    ("paths", "root", "message"),
    [
        (["words.py", "lib/words/__init__.py"], "lib", r"^words\.py .* and lib/words/__init__\.py .* same .*: words\. "),
        (["svc/words.py", "words/__init__.py"], "", r"^words\.py .* and words/__init__\.py .* same Python module in the"),
        (["svc/words.py", "lib/words.py"], "lib", ""),  # the test's directory precedes import roots
        (["svc/svc.py", "svc/__init__.py"], "", ""),  # the module hides the package, as in a test
        (["lib/words.py", "lib/words/__init__.py"], "lib", ""),  # Python chooses, as in a test
        (["acme/words.py", "lib/acme/words.py"], "lib", r"^acme/words\.py .* and lib/acme/words\.py .* same .*: acme"),
        (["acme/words.py", "lib/acme/others.py"], "lib", ""),  # the directories are one package
    ],
)  # fmt: skip
def test_a_module_and_a_package_of_one_name(paths: list[str], root: str, message: str) -> None:
    kept = select(declare({path: Path(path) for path in paths}, "svc")).kept
    if message:
        with pytest.raises(BentoError, match=message):
            importable(kept, ImportPath([f"_main/{root}"], [], "svc"))
    else:
        importable(kept, ImportPath([f"_main/{root}"], [], "svc"))


def test_two_files_for_one_path(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    declared = list(
        declare_libraries([(str(tmp_path / name), "../r+/a.py", f"//{name}") for name in ("one", "two")], "")
    )
    with pytest.raises(BentoError, match=r"^two files have the path r\+/a\.py in the Bento: .*/one .*/two .*Remove"):
        select(declared)
    (tmp_path / "two").write_text("one")  # such as the output of one target in two configurations
    assert [file.path for file in select(declared).kept] == ["r+/a.py"]
    (tmp_path / "two").unlink()
    (tmp_path / "two").symlink_to("/etc/hostname")
    with pytest.raises(BentoError, match=r"is a link to '/etc/hostname', which is absolute"):
        select(declared)


def test_a_module_of_the_build_context_that_names_a_file_of_the_bento(tmp_path: Path) -> None:
    texts = {"svc/m.py": "open('w.bin')", "svc/w.bin": "", "lib/x.txt": ""}
    files = write(texts, tmp_path)
    with pytest.raises(
        BentoError, match=r"^m\.py .* names w\.bin .* isn't in the directory of the module: .* Add the file to data"
    ):
        importable(select(declare(files, "svc", own=("svc/w.bin",))).kept, ImportPath([], [], "svc"))
    importable(select(declare(files, "svc")).kept, ImportPath([], [], "svc"))
    del files["lib/x.txt"]  # without data elsewhere, the module is beside the file
    found, _ = importable(select(declare(files, "svc", own=("svc/w.bin",))).kept, ImportPath([], [], "svc"))
    assert [file.path for file in found if not file.loaded_from] == ["m.py", "svc/m.py", "w.bin"]


def test_the_reader_sees_modules_where_imports_find_them(tmp_path: Path) -> None:
    files = write({"lib/acme/a.py": "", "lib/acme/b/__init__.py": "", "svc/own.py": "", "lib/d.txt": ""}, tmp_path)
    path = ImportPath(["_main/lib", "_main", "foo+", "pip+/site-packages"], [], "svc")
    found, sources = importable(select(declare(files, "svc")).kept, path)
    assert {path for path in sources if path.endswith(".py")} == {
        *("acme/a.py", "acme/b/__init__.py", "lib/acme/a.py", "lib/acme/b/__init__.py", "own.py", "svc/own.py")
    }
    src = unpack(add_loaders(found, sources, path, "own:S"), tmp_path)
    assert [str(path.relative_to(src)) for path in sorted(src.rglob("*.py")) if is_loader(path)] == [
        *("own/__init__.py", "own.py")
    ]


# Prints what mechanisms of Python besides `import` find: metadata of the library's own package, a package that extends
# its path over import roots, a file beside a module, a module that runs as a program, state after a reload.
MECHANISMS = """
import importlib, os, runpy, subprocess, sys
from importlib.metadata import entry_points, version
from importlib.util import find_spec
loaded = [each.load()() for each in entry_points().select(group="acme.plugins")]  # before any import of the library
import job, state
from acmens import one, two
state.CACHE["k"] = 1
again = importlib.reload(state).CACHE
path = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
RESULT = [
    loaded, version("acme-plugins"), one.V + two.V, again, runpy.run_module("job", run_name="__main__")["X"],
    open(os.path.join(os.path.dirname(find_spec("findable").origin), "d.txt")).read(), find_spec("job").origin[-8:],
    subprocess.run([sys.executable, "-m", "job"], env=path, capture_output=True, text=True).stdout,
    __name__, os.path.basename(__file__), __package__, "__path__" in globals(), open("lib/findable/d.txt").read(),
    *(open(os.path.join(os.environ["RUNFILES_DIR"], each)).read() for each in ("_main/lib/findable/d.txt", "other+/d.txt")),
    "RUNFILES_MANIFEST_FILE" in os.environ,
]
"""
LIBRARIES = {
    "lib/acme_plugins-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme-plugins\nVersion: 1.0\n",
    "lib/acme_plugins-1.0.dist-info/entry_points.txt": "[acme.plugins]\none = job:plugin\n",
    "lib/job.py": "X = 5 if __name__ == '__main__' else 6\nprint(__name__)\ndef plugin():\n    return 'loaded'\n",
    "lib/findable/__init__.py": "",
    "lib/findable/d.txt": "data",
    "lib/state.py": "try:\n    CACHE\nexcept NameError:\n    CACHE = {}\n",
    **{
        f"{root}/acmens/__init__.py": "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"
        for root in ("lib", "two")
    },
    "lib/acmens/one.py": "V = 1\n",
    "two/acmens/two.py": "V = 2\n",
    "../other+/d.txt": "other",
    "../rules_python+/python/runfiles/runfiles.py": "",
}


@pytest.mark.parametrize(
    ("own", "service"),
    [
        ("svc/service.py", "service:S"),
        ("svc/service.py", "service.py:S"),
        ("svc/app/service.py", "app.service:S"),
        ("svc/app/__init__.py", "app:S"),
        ("lib/deep/service.py", "deep.service:S"),  # a service below an import root
    ],
)
def test_all_mechanisms_find_libraries_as_in_a_test(own: str, service: str, tmp_path: Path) -> None:
    main = tmp_path / "runfiles/_main"
    declared = declare(write(LIBRARIES | {own: MECHANISMS}, main), "svc", (own,) if "svc" in own else ())
    src = write_bento(declared, ["_main/lib", "_main/two"], tmp_path, service=service)
    module = service.partition(":")[0].removesuffix(".py")
    code = "import sys; sys.path[:0] = sys.argv[2:]; print(__import__('importlib').import_module(sys.argv[1]).RESULT)"
    test = [main / each for each in ("svc", "lib", "two", "")]
    set_by_bazel = {"RUNFILES_DIR": str(main.parent)}
    of_another_program = {"RUNFILES_DIR": "/", "RUNFILES_MANIFEST_FILE": "/nowhere"}
    (tmp_path / "tmp").mkdir()
    expected, *results = [
        subprocess.check_output(
            [sys.executable, "-I", "-B", "-c", code, module, *map(str, path)],
            text=True,
            cwd=path[-1],
            env=variables | {"TMPDIR": str(tmp_path / "tmp")},
        )
        for path, variables in ((test, set_by_bazel), ([src], {}), ([src], of_another_program), ([src], set_by_bazel))
    ]
    assert results == [expected] * 3
    assert "['loaded'], '1.0', 3, {'k': 1}, 5, 'data', '" in expected
    assert not [*(tmp_path / "tmp").iterdir()]


def test_threads_wait_for_a_module_that_a_loader_loads(tmp_path: Path) -> None:
    files = write({"svc/slow.py": "import time\ntime.sleep(0.2)\nVALUE = 1\n", "lib/d.txt": ""}, tmp_path)
    src = write_bento(declare(files, "svc"), [], tmp_path, service="slow")
    code = "import sys; sys.path.insert(0, sys.argv[1])\nfrom concurrent.futures import ThreadPoolExecutor\n"
    code += "def run(_):\n    import slow\n    return slow.VALUE\nwith ThreadPoolExecutor(9) as pool:\n"
    code += "    print(sum(pool.map(run, range(9))))"
    assert subprocess.check_output([sys.executable, "-c", code, str(src)], text=True) == "9\n"
