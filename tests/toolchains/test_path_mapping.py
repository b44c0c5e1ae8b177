"""Path mapping: where an output lies is known when its action runs, so no rule writes it into a command line as text.

`--experimental_output_paths=strip` maps the paths of Files in arguments, and of none that Starlark made a string of.
"""

import ast
from pathlib import Path

import pytest

# Functions where `.path` or `.dirname` of a file stands, and why that is right.
_CALLBACK = "given to read_files, which gives it to Args as map_each, where Bazel maps it"
ALLOWED = {
    ("private/attributes.bzl", "describe_file"): _CALLBACK,
    ("private/installed_wheel_aspect.bzl", "_describe_installed"): _CALLBACK,
    ("private/installed_wheel_aspect.bzl", "_modules"): "of a source in a repository of rules_python, which Bazel doesn't map",
    ("private/sources_aspect.bzl", "_describe_image_link"): "as above: one of two functions for map_each",
    ("private/sources_aspect.bzl", "_describe_link"): "as above: one of two functions for map_each",
    ("private/sources_aspect.bzl", "_links_of"): "of an entry of runfiles: where its file is, relative to them",
    ("private/python_version.bzl", "is_tool"): "of a configuration, for the analysis only",
    ("private/push_manifest.bzl", "_blob"): "read where the program runs: there it lies as Bazel writes it",
}  # fmt: skip
# Here paths are of the repository phase, which has no outputs.
FETCHING = ("private/indexes.bzl", "private/repositories/")
SOURCES = sorted(path for directory in ("private", "rules", "toolchains") for path in Path(directory).rglob("*.bzl"))


def paths_as_text(name: str, text: str) -> set[tuple[str, str]]:
    """The functions in which a file's `.path` or `.dirname` is read; calls such as `rctx.path(…)` are another thing."""
    tree = ast.parse(text, name)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    places = [(name, function.name, function) for function in functions]
    places += [(name, "", node) for node in tree.body if node not in functions]
    return {(file, function) for file, function, node in places if _reads_path(node)}


def _reads_path(node: ast.AST) -> bool:
    called = {call.func for call in ast.walk(node) if isinstance(call, ast.Call)}
    return any(
        isinstance(found, ast.Attribute) and found.attr in ("dirname", "path") and found not in called
        for found in ast.walk(node)
    )


def test_rules_write_no_path_of_an_output_as_text():
    assert len(SOURCES) > 60
    texts = {path.as_posix(): path.read_text("utf-8") for path in SOURCES}
    mapped = {path: text for path, text in texts.items() if not path.startswith(FETCHING)}
    found = {place for path, text in mapped.items() for place in paths_as_text(path, text)}
    unknown = sorted(found - set(ALLOWED))
    assert not unknown, f"{unknown}: give the File to Args (expand_directories = False for a folder), not its path"
    assert not set(ALLOWED) - found, f"{sorted(set(ALLOWED) - found)}: nothing to allow there any more"


def test_no_action_is_made_where_paths_are_free():
    fetching = [path for path in SOURCES if path.as_posix().startswith(FETCHING)]
    assert not [path for path in fetching if ".actions" in path.read_text("utf-8")]


def test_functions_with_the_marker_are_passed_to_args():
    for (path, function), reason in ALLOWED.items():
        if reason == _CALLBACK and function != "describe_file":
            text = Path(path).read_text("utf-8")
            assert text.count(function) == 1 + text.count(f", {function})"), (path, function)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("def f(args, folder):\n    args.add(folder.path)\n", {("x.bzl", "f")}),
        ("def f(file):\n    return ['-I' + file.dirname]\n", {("x.bzl", "f")}),
        ("def f(file):\n    def g():\n        return file.path\n    return g\n", {("x.bzl", "f")}),
        ("f = lambda file: file.path\n", {("x.bzl", "")}),
        ("def f(file):\n    return '{}'.format(file.root.path)\n", {("x.bzl", "f")}),
        ("def f(rctx, file):\n    return rctx.path(file.short_path)\n", set()),
    ],
)
def test_the_lint_finds_it(text, places):
    assert paths_as_text("x.bzl", text) == places
