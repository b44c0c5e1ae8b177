"""Library files are at their paths in the repository, and below the import roots that their libraries declare."""

from pathlib import Path

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.bentos.sources.library_paths import (
    check_modules,
    declare_libraries,
    missing_copies,
    missing_roots,
    possible_paths,
    without_hidden_copies,
)
from rules_bento.bentos.sources.snapshot import DeclaredFile, select

TEXT = ("//lib/text", "_main/lib/text/.")


def paths(files: dict[str, str], *roots: tuple[str, str], build_ctx: str = "svc") -> dict[str, list[str]]:
    """Return the paths in the Bento of each file. `files` maps short paths to labels."""
    triples = [(short_path, short_path, label) for short_path, label in files.items()]
    found: dict[str, list[str]] = {}
    for file in declare_libraries(triples, roots, build_ctx):
        assert file.origin == f"deps {files[file.source]}"
        found.setdefault(file.source, []).append(file.path)
    return found


@pytest.mark.parametrize(
    ("short_path", "build_ctx", "expected"),
    [
        ("lib/text/words.py", "svc", ["lib/text/words.py", "words.py"]),
        ("lib/text/words.py", "", ["lib/text/words.py", "words.py"]),
        ("lib/text/words.py", "lib/text", ["words.py", "lib/text/words.py"]),
        ("lib/text/words.py", "lib", ["lib/text/words.py", "words.py"]),
        ("lib/text/words.py", "lib/text/words", ["lib/text/words.py", "words.py"]),
        ("lib/text/pkg/a.py", "lib/text/pkg", ["a.py", "lib/text/pkg/a.py", "pkg/a.py"]),
        ("lib/text/__init__.py", "svc", ["lib/text/__init__.py"]),
        ("lib/text/pkg/__init__.py", "svc", ["lib/text/pkg/__init__.py", "pkg/__init__.py"]),
        ("lib/words.py", "svc", ["lib/words.py"]),
        ("svc/words.py", "svc", ["words.py"]),
        ("../foo+/lib/text/words.py", "svc", ["lib/text/words.py"]),
        ("../foo+/src/pkg/a.py", "svc", ["src/pkg/a.py", "pkg/a.py"]),
        ("../foo+/src/pkg/a.py", "../foo+/src", ["pkg/a.py", "src/pkg/a.py"]),
        ("../foo+/a.py", "svc", ["a.py"]),
    ],
)
def test_paths_of_a_file(short_path: str, build_ctx: str, expected: list[str]) -> None:
    roots = [TEXT, ("//lib/text", "_main"), ("//lib/text", "foo+/src/x/.."), ("//lib/text", "foo+")]
    assert paths({short_path: "//lib/text"}, *roots, build_ctx=build_ctx) == {short_path: expected}


def test_an_import_root_does_not_move_files_of_other_libraries() -> None:
    files = {
        "lib/text/words.py": "//lib/text",
        "lib/text/sub/deep.py": "//lib/text/sub",
        "lib/text/x.py": "//lib/text:x",
    }
    assert paths(files, TEXT) == {
        "lib/text/words.py": ["lib/text/words.py", "words.py"],
        "lib/text/sub/deep.py": ["lib/text/sub/deep.py"],
        "lib/text/x.py": ["lib/text/x.py"],
    }


def test_a_package_of_several_libraries_is_complete_below_an_import_root() -> None:
    files = {
        "lib/text/pkg/__init__.py": "//lib/text",
        "lib/text/pkg/sub/a.py": "//lib/text/pkg",
        "lib/text/b/c.py": "//x",
    }
    found = paths(files, TEXT)
    assert found["lib/text/pkg/sub/a.py"] == ["lib/text/pkg/sub/a.py", "pkg/sub/a.py"]
    assert found["lib/text/b/c.py"] == ["lib/text/b/c.py"]


def test_the_import_root_of_a_library_without_files_is_for_all_libraries() -> None:
    files = {"lib/text/words.py": "//lib/text:words", "lib/other.py": "//lib"}
    expected = {"lib/text/words.py": ["lib/text/words.py", "words.py"], "lib/other.py": ["lib/other.py"]}
    assert paths(files, TEXT) == expected
    assert paths(files | {"else.py": "//lib/text"}, TEXT) == expected | {"else.py": ["else.py"]}


def test_an_import_root_that_no_library_declares_is_for_all_libraries() -> None:
    files = {"lib/text/words.py": "//lib/text:words", "lib/text/pkg/a.py": "//lib/text:pkg", "lib/x.py": "//lib"}
    everywhere = {
        "lib/text/words.py": ["lib/text/words.py", "words.py"],
        "lib/text/pkg/a.py": ["lib/text/pkg/a.py", "pkg/a.py"],
        "lib/x.py": ["lib/x.py"],
    }
    of_imports = [("", "_main/lib/text"), ("", "pip+numpy/site-packages"), ("", "_main")]
    assert paths(files, *of_imports) == everywhere
    assert paths(files, *of_imports, ("//lib", "_main/lib/text")) == everywhere
    declared = ("//lib/text:words", "_main/lib/text")
    assert paths(files, *of_imports, declared) == everywhere | {"lib/text/pkg/a.py": ["lib/text/pkg/a.py"]}


def test_modules_in_import_roots_of_other_libraries_are_found_if_sources_import_them(tmp_path: Path) -> None:
    service = tmp_path / "service.py"
    service.write_text("import logging\nimport shared\nfrom x import y\nfrom a import (\n    b,\n)\n")
    names = ("logging", "shared", "unused", "x", "a/b", "a/c")
    files = [
        ("lib/words.py", "lib/words.py", "//lib:words"),
        *((f"lib/{name}.py", f"lib/{name}.py", f"//lib/{name}") for name in names),
        ("lib/x.txt", "lib/x.txt", "//lib/x"),
        ("svc/lib/z.py", "svc/lib/z.py", "//svc/lib"),
    ]
    roots = [("//lib:words", "_main/lib"), ("//svc", "_main/svc/lib"), ("//svc", "_main/svc")]
    kept = [declared(path, "srcs //svc", str(service)) for path in ("service.py", "a/d.py", "shared.py")]
    more = [(f"//lib/{name}", "_main/lib") for name in ("x", "a/b", "a/c")]
    assert missing_roots(files, roots, kept[:2]) == [("//lib/shared", "_main/lib"), *more]
    assert missing_roots(files, roots, kept) == more
    found = [file.path for file in declare_libraries(files, [*roots, *more], "svc")]
    assert {"lib/x.py", "x.py", "lib/x.txt", "x.txt", "a/b.py", "z.py"} <= set(found)
    assert not {"unused.py", "logging.py", "shared.py"} & set(found)


def test_patterns_apply_to_all_paths_of_a_file_in_the_build_context() -> None:
    files = [("svc/pkg/a.py", "svc/pkg/a.py", "//svc:lib"), ("svc/.bentoignore", "svc/.bentoignore", "//svc:lib")]
    declared = list(declare_libraries(files, [("//svc:lib", "_main/svc")], "svc"))
    assert [file.path for file in declared] == ["pkg/a.py", "svc/pkg/a.py", ".bentoignore", "svc/.bentoignore"]
    selection = select([file for file in declared if not file.path.endswith("ignore")], exclude=["pkg/"])
    assert not selection.kept
    dropped = selection.find_dropped(["svc/pkg/a.py"])
    assert dropped
    assert "pattern 1 of exclude ('pkg/')" in str(selection.reason(dropped))
    [ignored] = [file for file in declared if file.path == "svc/.bentoignore"]
    assert not ignored.in_context


@pytest.mark.parametrize("short_path", ["/etc/passwd", "lib/../../a.py", "../foo+"])
def test_rejected_paths(short_path: str) -> None:
    with pytest.raises(
        BentoError, match=r"^//lib: deps contains '.*', which is absolute or outside the repository\. Use"
    ):
        paths({short_path: "//lib"})


def test_two_files_for_one_import_path(tmp_path: Path) -> None:
    triples, roots = [], []
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        triples.append((str(tmp_path / name), f"lib/{name}/words.py", f"//lib/{name}"))
        roots.append((f"//lib/{name}", f"_main/lib/{name}"))
    declared = list(declare_libraries(triples, roots, "svc"))
    message = (
        r"^two files have the path words\.py in the Bento: .*/one \(from deps //lib/one\) and .*/two \(from deps "
        r"//lib/two\)\. Remove or exclude one of the files, or change the imports of the library"
    )
    with pytest.raises(BentoError, match=message):
        select(declared)
    (tmp_path / "two").write_text("one")  # such as the output of one target in two configurations
    assert [file.path for file in select(declared).kept] == ["lib/one/words.py", "lib/two/words.py", "words.py"]
    (tmp_path / "two").unlink()
    (tmp_path / "two").symlink_to("/etc/hostname")
    with pytest.raises(BentoError, match=r"is a link to '/etc/hostname', which is absolute"):
        select(declared)


def declared(path: str, origin: str, source: str = "", **changes: str) -> DeclaredFile:
    return DeclaredFile(path, source or path, origin, **changes)


def test_a_module_and_a_package_of_one_name() -> None:
    package = declared("words/__init__.py", "deps //lib", "bazel-out/k8/bin/lib/words/__init__.py")
    check_modules([package, declared("words.py", "deps //other", "lib/words.py")])  # also next to each other in a test
    check_modules([declared("words/__init__.py", "srcs //a"), declared("words.py", "srcs //b", "x/words.py")])
    message = (
        r"^words\.py and words/__init__\.py in the Bento are the same Python module: svc/words\.py \(from srcs //svc:b\) "
        r"and .*lib/words/__init__\.py \(from deps //lib\)\. Rename one"
    )
    with pytest.raises(BentoError, match=message):
        check_modules([package, declared("words.py", "srcs //svc:b", "svc/words.py")])


@pytest.mark.parametrize(
    ("line", "is_needed"),
    [
        ("from shop.svc.pkg import a", True),
        ("    import os, shop.svc.pkg as x", True),
        ("from shop import svc", True),
        ("from shop import (\n    svc,\n)", True),
        ("import pkg", False),
        ("from shop.other import svc", False),
        ("from other.shop.svc import a", False),
        ("import shop.svc2", False),
        ("# import shop.svc", False),
    ],
)
def test_copies_at_the_path_in_the_repository(tmp_path: Path, line: str, is_needed: bool) -> None:
    service = tmp_path / "service.py"
    service.write_text(f"import bentoml\n{line}\n")
    files = [declared("service.py", "srcs //shop/svc:b", str(service)), declared("pkg/a.py", "deps //shop/svc:a")]
    copies = missing_copies(files, files[:1], "shop/svc")
    assert [(file.path, file.context_path) for file in copies] == [("shop/svc/pkg/a.py", "pkg/a.py")] * is_needed
    assert missing_copies(files, files[:1], "") == missing_copies(files[:1], files[:1], "shop/svc") == []


def test_a_copy_does_not_hide_a_module_of_the_build_context() -> None:
    files = [declared("iris.py", "srcs //iris:b"), declared("util.py", "deps //iris:u")]
    copy = declared("iris/util.py", "deps //iris:u", "util.py", context_path="util.py")
    assert without_hidden_copies([*files, copy]) == files
    assert without_hidden_copies([files[1], copy]) == [files[1], copy]


def test_possible_paths() -> None:
    assert possible_paths("svc/lib/a.py", ["_main/svc/lib", "_main/x"], "svc") == ["lib/a.py", "svc/lib/a.py", "a.py"]
    assert possible_paths("../foo+/src/a.py", ["foo+/src/."], "svc") == ["src/a.py", "a.py"]
