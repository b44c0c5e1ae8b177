"""Checks Starlark files against CONTRIBUTING.md, and against changes in the next Bazel releases.

Most Starlark files are valid Python for `ast`, which provides the structure of functions and the names in a file.
"""

import ast

MOST_PARAMETERS = 6
MOST_LINES = 110
# Functions that stand for a rule and mirror its attributes.
MIRRORS = frozenset(["bento_requirements", "bento_service"])
# What Bazel 8 and 9 have in rules_cc, rules_java, rules_python and others, and no longer itself: by load alone.
MOVED = frozenset(
    [
        "CcInfo", "CcSharedLibraryHintInfo", "CcSharedLibraryInfo", "CcToolchainConfigInfo", "DebugPackageInfo",
        "JavaInfo", "JavaPluginInfo", "ObjcInfo", "ProtoInfo", "PyCcLinkParamsProvider", "PyInfo", "PyRuntimeInfo",
        "aar_import", "android_binary", "android_library", "android_local_test", "apple_common", "cc_binary",
        "cc_common", "cc_import", "cc_library", "cc_proto_library", "cc_shared_library", "cc_static_library",
        "cc_test", "cc_toolchain", "cc_toolchain_alias", "cc_toolchain_suite", "coverage_support",
        "fdo_prefetch_hints", "fdo_profile", "java_binary", "java_common", "java_import", "java_library",
        "java_lite_proto_library", "java_package_configuration", "java_plugin", "java_plugins_flag_alias",
        "java_proto_library", "java_runtime", "java_test", "java_toolchain", "memprof_profile", "objc_import",
        "objc_library", "propeller_optimize", "proto_common_do_not_use", "proto_lang_toolchain", "proto_library",
        "py_binary", "py_internal", "py_library", "py_runtime", "py_test", "sh_binary", "sh_library", "sh_test",
    ]
)  # fmt: skip
# Of WORKSPACE files, which Bazel 9 does not read.
GONE = frozenset(
    ["bind", "local_config_platform", "local_repository", "new_local_repository", "register_toolchains", "workspace"]
)


def shape(name: str, text: str) -> list[str]:
    """Return the functions with too many parameters or lines."""
    found = []
    for node in ast.walk(ast.parse(text, name)):
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            continue
        function = node.name if isinstance(node, ast.FunctionDef) else "lambda"
        parameters = len(node.args.posonlyargs + node.args.args + node.args.kwonlyargs)
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if parameters > MOST_PARAMETERS and function not in MIRRORS:
            found.append(f"{name}:{node.lineno}: {function} has {parameters} parameters: combine what belongs together")
        if lines > MOST_LINES and function not in MIRRORS:
            found.append(f"{name}:{node.lineno}: {function} has {lines} lines: give its steps names")
    return found


def unexplained(name: str, text: str) -> list[str]:
    """Return the flattened depsets without a reason: a comment in the lines above, in the same paragraph."""
    lines = text.splitlines()
    found = []
    for node in ast.walk(ast.parse(text, name)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "to_list":
            at = (node.func.end_lineno or node.lineno) - 1
            above = at
            while above > 0 and lines[above - 1].strip() and not lines[above - 1].startswith("def "):
                above -= 1
            if not any(line.strip().startswith("#") for line in lines[above:at]) and "  # " not in lines[at]:
                found.append(f"{name}:{at + 1}: a depset is flattened: say beside it why it is small, or do not")
    return found


def moved(name: str, text: str) -> list[str]:
    """Return the names that are used without a load and that the next Bazel releases don't define."""
    tree = ast.parse(text, name)
    loaded = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "load":
            loaded |= {word.arg for word in node.keywords if word.arg}
            loaded |= {word.value for word in node.args[1:] if isinstance(word, ast.Constant)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in MOVED - loaded:
            found.append(f"{name}:{node.lineno}: {node.id} is used and not loaded: Bazel 8 and 9 have it in a ruleset")
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "native" and node.attr in MOVED | GONE:
            found.append(f"{name}:{node.lineno}: native.{node.attr} is gone from Bazel 8 and 9")
        if isinstance(node, ast.Call) and ast.unparse(node.func) in GONE - {"register_toolchains"}:
            found.append(f"{name}:{node.lineno}: {ast.unparse(node.func)} is of WORKSPACE files, gone in Bazel 9")
    return found


def canonical(name: str, text: str) -> list[str]:
    """Return canonical repository names. Bazel up to 7 writes such names with `~`, and Bazel 8 and newer with `+`."""
    return [
        f"{name}:{node.lineno}: {node.value!r} is a canonical name, which differs from Bazel to Bazel: make a Label"
        for node in ast.walk(ast.parse(text, name))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value.startswith("@@") and any(mark in node.value.partition("//")[0] for mark in "~+")
    ]


def findings(name: str, text: str) -> list[str]:
    """Return all problems of a file."""
    found = moved(name, text) + canonical(name, text)
    if not name.endswith(".bzl"):
        return found
    return found + shape(name, text) + (unexplained(name, text) if not name.startswith(("tests/", "e2e/")) else [])
