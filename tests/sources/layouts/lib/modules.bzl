"""Libraries of generated modules."""

load("@bazel_skylib//rules:write_file.bzl", "write_file")
load("@rules_python//python:defs.bzl", "py_library")
load("//tests/sources:rules.bzl", "foreign_library")

# Targets that aren't declared by `library`.
_ONLY_FOREIGN = [
    ":" + name
    for name in [
        "above",
        "api_client",
        "copied",
        "folder",
        "inner_client",
        "linked",
        "private",
        "root_of_deps",
        "schema",
        "wrapped",
    ]
]

def library(name, *, modules, data = [], deps = [], uses = {}, **kwargs):
    """Declares a py_library, and a target `foreign_<name>` of another rule, with the same files and import roots.

    Args:
      name: name of the library.
      modules: paths of its modules, which are generated.
      data: paths of text files, which are generated, and which the module of the same name reads.
      deps: libraries.
      uses: path of a module to the name of a module that it imports.
      **kwargs: attributes of the py_library.
    """
    texts = [path for path in data if path.endswith(".txt")]
    for path in texts:
        write_file(name = name + "_" + path.replace("/", "_"), out = path, content = ["data of " + path])
    for path in modules:
        lines = ["PATH = '{}'".format(path)]
        if path in uses:
            lines.append("import " + uses[path])
        if path.removesuffix(".py") + ".txt" in texts:
            lines += ["from pathlib import Path", "PATH += Path(__file__).with_suffix('.txt').read_text()"]
        write_file(name = name + "_" + path.replace("/", "_"), out = path, content = lines + [""])
    py_library(name = name, srcs = modules, data = data, deps = deps, **kwargs)
    foreign = [":foreign_" + dep.removeprefix(":") if dep.startswith(":") and dep not in _ONLY_FOREIGN else dep for dep in deps]
    foreign_library(name = "foreign_" + name, srcs = modules, data = data, deps = foreign, **kwargs)
