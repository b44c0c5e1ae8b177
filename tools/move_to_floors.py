#!/usr/bin/env python3
"""Moves the modules of py/ to five floors: `python tools/move_to_floors.py` in a clean checkout.

The program moves files by the tables below, and rewrites imports, module names in strings, and paths in all tracked
files. It changes nothing in a checkout that has been moved, so branches from before the move can be transplanted.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] if len(sys.argv) < 2 else Path(sys.argv[1]).resolve()
PY = ROOT / "py"
BASE = "dataclasses_lite display errors exit_handling namespaces private programs tag tree_walk typing_lite utf8_mode"
# Directories and modules of py/, old to new, without suffix.
MOVES = {f"rules_bento/{name}": f"rules_bento/base/{name}" for name in [*BASE.split(), "archives", "formats", "net"]}
MOVES |= {
    f"rules_bento/{name}": f"rules_bento/bentos/{name}"
    for name in ("build_options", "models", "packages", "service", "sources")
}
MOVES |= {
    f"rules_bento/{name}": f"rules_bento/images/{name}"
    for name in ("artifacts", "debian", "kubernetes", "registry", "reports", "signing")
}
MOVES |= {f"rules_bento/{name}": f"rules_bento/actions/{name}" for name in ("subcommands", "worker")}
MOVES |= {
    "rules_bento/arguments": "rules_bento/base/subcommand_arguments",
    "rules_bento/audit/secrets": "rules_bento/bentos/sources/secrets",
    "rules_bento/workspace_status": "rules_bento/base/formats/workspace_status",
    "rules_bento/bento": "rules_bento/bentos/assembly",
    "rules_bento/bento/assemble": "rules_bento/bentos/assembly/write_bento",
    "rules_bento/bento/descriptors": "rules_bento/bentos/assembly/bento_yaml",
    "rules_bento/packages/build": "rules_bento/bentos/packages/build_wheel",
    "rules_bento/packages/conflicts": "rules_bento/bentos/packages/uv_lock_conflicts",
    "rules_bento/packages/environments": "rules_bento/bentos/packages/interpreter_files",
    "rules_bento/packages/lock": "rules_bento/bentos/packages/lock_format",
    "rules_bento/packages/lock_changes": "rules_bento/bentos/packages/uv_lock_staleness",
    "rules_bento/packages/lock_inputs": "rules_bento/bentos/packages/uv_inputs",
    "rules_bento/packages/marker_text": "rules_bento/bentos/packages/uv_lock_markers",
    "rules_bento/packages/requirement_checks": "rules_bento/bentos/packages/installable_requirements",
    "rules_bento/packages/requirement_sources": "rules_bento/bentos/packages/requirement_files",
    "rules_bento/packages/requirements": "rules_bento/bentos/packages/requirement_syntax",
    "rules_bento/packages/resolution": "rules_bento/bentos/packages/lock_with_uv",
    "rules_bento/service/import_launcher": "rules_bento/bentos/service/import_sandbox",
    "rules_bento/service/import_runner": "rules_bento/bentos/service/import_twice",
    "rules_bento/service/import_worker": "rules_bento/bentos/service/bentoml_import",
    "rules_bento/sources/manifest": "rules_bento/bentos/sources/tree_manifest",
    "rules_bento/testing": "rules_bento/run/testing",
    "rules_bento/testing/api_changes": "rules_bento/bentos/service/api_changes",
    "rules_bento/testing/plugin": "rules_bento/run/testing/pytest_plugin",
    "rules_bento/testing/recording": "rules_bento/run/testing/line_coverage",
    "rules_bento/testing/server": "rules_bento/run/testing/bentoml_server",
    "rules_bento/images/checks": "rules_bento/images/validation/all_checks",
    "rules_bento/images/image_checks": "rules_bento/images/validation/base_compatibility",
    "rules_bento/images/image_requirements": "rules_bento/images/validation/bento_requirements",
    "rules_bento/images/layer_report": "rules_bento/images/reports/layer_report",
    "rules_bento/images/needs": "rules_bento/images/validation/package_needs",
    "rules_bento/images/oci_layout": "rules_bento/images/image_archive",
    "rules_bento/images/remedies": "rules_bento/images/validation/remedies",
    "rules_bento/images/rootfs": "rules_bento/images/unpack_image",
    "rules_bento/kubernetes/manifests": "rules_bento/images/kubernetes/deployment_yaml",
    "rules_bento/registry/pulling": "rules_bento/images/registry/pull_from_registry",
    "rules_bento/registry/pushable": "rules_bento/images/registry/blob_sources",
    "rules_bento/registry/pushing": "rules_bento/images/registry/push_to_registry",
    "rules_bento/registry/uploads": "rules_bento/images/registry/push_records",
    "rules_bento/run/push_cache": "rules_bento/run/remote_cache",
    "rules_bento/run/push_contents": "rules_bento/run/push_description",
    "rules_bento/run/updates": "rules_bento/run/update_locks",
    "bento_cli/cli/arguments": "bento_cli/cli/shared_options",
    "bento_cli/sharing/cloud/pulling": "bento_cli/sharing/cloud/pull_from_cloud",
    "bento_cli/sharing/cloud/pushing": "bento_cli/sharing/cloud/push_to_cloud",
    "bento_cli/sharing/cloud/uploading": "bento_cli/sharing/cloud/upload_to_cloud",
}
REMOVED = ("rules_bento/audit/__init__.py",)
FLOORS = {
    "base": """Formats, archives, connections, processes, and errors, for any program, not only for Bentos and images.

In come bytes, files, and addresses; out go values, files, and `BentoError`. Imports nothing of the other floors.
""",
    "bentos": """From a project to a Bento: sources, options, the service's metadata, packages, models, and assembly.

In come a project's files, locks, and models; out go the files of a Bento, its bento.yaml, and its identity. Imports
`base`.
""",
    "images": """From Bentos, programs, and wheels to images: layers, validation, SBOMs, registries, and signatures.

In come Bentos, wheels, Debian packages, and bases; out go layers, configs, manifests, and transfers. Imports `base` and
`bentos`.
""",
    "actions": """The subcommands that Bazel's actions run, and the persistent worker.

In come arguments files of rules; out go the declared outputs. Each function is a subcommand: `subcommands` finds it by
its name, and decodes the arguments to the request that is the function's parameter. Imports the floors below.
""",
    "run": """The programs that `bazel run`, `bazel test`, and repository rules start: pushes, tests, updates of locks.

In come arguments of launchers and users; out go pushed images, environments, and locks in the source tree. The programs
can use the network and the Bento store. Imports all floors.
""",
}
# Strings that the rules below don't rewrite: path of the old file, old, new.
SPECIAL = [
    ("py/rules_bento/subcommands.py", '"run.updates"', '"run.update_locks"'),
]
UNCHANGED = {
    *("CHANGELOG.md", "docs/contributing/navigation.md", "tests/lint/test_sizes.py"),
    "tools/move_to_floors.py",
}
DOTTED = {old.replace("/", "."): new.replace("/", ".") for old, new in MOVES.items()}


def git(*arguments: str) -> str:
    """Run git, and return its output."""
    return subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, text=True, stdout=subprocess.PIPE).stdout


def mapped(name: str, separator: str = "/") -> str:
    """Return the new name of a path or module by its longest prefix in the table, or the same name."""
    table = MOVES if separator == "/" else DOTTED
    parts = name.split(separator)
    for length in range(len(parts), 0, -1):
        if new := table.get(separator.join(parts[:length])):
            return separator.join([new, *parts[length:]])
    return name


def moved(path: str) -> str:
    """Return the new path of a file below py/, such as `rules_bento/errors.py`."""
    directory, _, name = path.rpartition("/")
    stem, dot, suffix = name.partition(".")
    return mapped(f"{directory}/{stem}".lstrip("/")) + dot + suffix


def move_files() -> dict[str, str]:
    """Move the files. Returns the old paths by the new paths, relative to the root."""
    old_paths = {}
    for path in git("ls-files", "-z", "py").split("\0"):
        inner = path.removeprefix("py/")
        if inner in REMOVED:
            (ROOT / path).unlink()
        elif inner and (new := f"py/{moved(inner)}") != path:
            (ROOT / new).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).rename(ROOT / new)
            old_paths[new] = path
    for name, text in FLOORS.items():
        write_docstring(PY / f"rules_bento/{name}/__init__.py", text)
    write_docstring(PY / "rules_bento/images/validation/__init__.py", "Checks whether images can run their content.")
    for directory in sorted((each for each in PY.rglob("*") if each.is_dir()), reverse=True):
        if {each.name for each in directory.iterdir()} <= {"__pycache__"} and directory.name != "__pycache__":
            shutil.rmtree(directory)
    git("add", "-A", "py")
    return old_paths


def write_docstring(path: Path, text: str) -> None:
    """Write a module that has only a docstring."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'"""{text}"""\n', "utf-8")


def is_module(name: str) -> bool:
    """Return whether a name is a module of py/ after the move."""
    path = PY / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def rewrite_imports(text: str) -> str:
    """Rewrite the statements `from PACKAGE import MODULE` whose modules have moved."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return text
    lines = text.splitlines(keepends=True)
    renamed: dict[str, str] = {}
    nodes = list(ast.walk(tree))
    bound = {node.arg for node in nodes if isinstance(node, ast.arg | ast.keyword)}
    bound |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    used = bound | {node.id for node in nodes if isinstance(node, ast.Name)}
    for node in sorted(
        (each for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)), key=lambda each: -each.lineno
    ):
        if not node.module or node.level or node.module.split(".")[0] not in ("rules_bento", "bento_cli"):
            continue
        statements: dict[str, list[str]] = {}
        for alias in node.names:
            full, new = f"{node.module}.{alias.name}", mapped(f"{node.module}.{alias.name}", ".")
            if new == full or not is_module(new):  # a name in a module
                statements.setdefault(mapped(node.module, "."), []).append(ast.unparse(alias))
                continue
            package, _, name = new.rpartition(".")
            if name == alias.name or alias.asname:
                as_name = alias.asname or ""
            elif name in used or alias.name in bound:
                as_name = alias.name
            else:
                as_name, renamed[alias.name] = "", name
            statements.setdefault(package, []).append(f"{name} as {as_name}" if as_name else name)
        names = [ast.unparse(alias) for alias in node.names]
        if statements == {node.module: names}:
            continue
        first, last = node.lineno - 1, node.end_lineno or node.lineno
        indent = " " * node.col_offset
        comment = re.search(r"\)?\s*(#.*)$", lines[last - 1].rstrip("\n"))
        rest = f"  {comment.group(1)}" if comment else ""
        if ";" in "".join(lines[first:last]):
            continue
        if list(statements.values()) == [names]:
            [package] = statements
            lines[first] = lines[first].replace(f"from {node.module} import", f"from {package} import", 1)
            continue
        lines[first:last] = [
            f"{indent}from {package} import {', '.join(names)}{rest}\n" for package, names in statements.items()
        ]
    text = "".join(lines)
    for old, new in renamed.items():
        text = rename(text, old, new)
    return text


def rename(text: str, old: str, new: str) -> str:
    """Rename the uses of a name in code, not in strings, attributes, or comments."""
    lines = text.split("\n")
    uses = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name) and node.id == old]
    for node in sorted(uses, key=lambda each: (-each.lineno, -each.col_offset)):
        line = lines[node.lineno - 1].encode()
        start, end = line[: node.col_offset], line[node.col_offset :]
        assert end.startswith(old.encode())
        lines[node.lineno - 1] = (start + new.encode() + end[len(old) :]).decode()
    return "\n".join(lines)


IN_STRINGS = re.compile(r"\bfrom (rules_bento(?:\.\w+)*) import (\w+)(?=[;\n\\\"'])")
DOTTED_NAME = re.compile(r"(?<![\w./@-])((?:rules_bento|bento_cli)(?:\.[A-Za-z_]\w*)+)")
SLASHED = re.compile(r"(?<![\w@])((?:rules_bento|bento_cli)/[\w/]+)(\.py\b|\.\w+\.j2\b|(?![\w./]))")
INNER = {old.partition("/")[2]: new.partition("/")[2] for old, new in MOVES.items() if old.startswith("rules_bento/")}
NAMES = {
    old.rpartition("/")[2]: new.rpartition("/")[2]
    for old, new in MOVES.items()
    if re.search(r"/(import_\w+|lock_changes|marker_text|push_c\w+|requirement_\w+)$", old)
}
QUOTED = re.compile(rf"`({'|'.join(NAMES)})`")
PARTIAL = re.compile(r"(?<![\w/.])([a-z_]+/[a-z_/]+)\.py\b")
LIMIT = re.compile(r"^\| `([a-z_.]+\.[\w.]+)`(?= \| \d)", re.MULTILINE)  # docs/contributing/limits.md
LINK = re.compile(r"\[`([\w]+\.py)`\]\(([^)]*/)(\w+\.py)\)")


def rewrite_text(text: str, *, is_prose: bool) -> str:
    """Rewrite module names and paths in any text."""
    text = IN_STRINGS.sub(in_strings, text)
    text = DOTTED_NAME.sub(lambda match: mapped(match[1], "."), text)
    text = SLASHED.sub(lambda match: mapped(match[1]) + match[2] if in_table(match[1]) else match[0], text)
    text = PARTIAL.sub(partial, text)
    text = QUOTED.sub(lambda match: f"`{NAMES[match[1]]}`", text)
    if is_prose:
        text = LIMIT.sub(
            lambda match: f"| `{mapped(f'rules_bento.{match[1]}', '.').removeprefix('rules_bento.')}`", text
        )
        text = LINK.sub(lambda match: f"[`{match[3]}`]({match[2]}{match[3]})", text)
    return text


def in_strings(match: re.Match[str]) -> str:
    """Rewrite an import of one module in a string with code."""
    package, _, name = mapped(f"{match[1]}.{match[2]}", ".").rpartition(".")
    return f"from {package} import {name}" if is_module(f"{package}.{name}") else match[0]


def in_table(path: str) -> bool:
    """Return whether a path can be an old file or directory, not the name of another thing, such as a cache."""
    return mapped(path) != path


def partial(match: re.Match[str]) -> str:
    """Rewrite `net/limits.py`, the path of a module in rules_bento."""
    new = mapped(f"rules_bento/{match[1]}").removeprefix("rules_bento/")
    exists = not new.endswith("__init__") and (PY / "rules_bento" / f"{new}.py").is_file()
    return f"{new}.py" if exists else match[0]


def count_sizes() -> None:
    """Replace the sizes of packages in bench/sizes.json."""
    path = ROOT / "bench/sizes.json"
    if not path.exists():
        return
    sizes = {key: value for key, value in json.loads(path.read_text("utf-8")).items() if not is_package(key)}
    for file in git("ls-files", "-z", "py").split("\0"):
        parts = Path(file).parts
        if file.endswith(".py") and len(parts) > 2:
            key = "py " + "/".join(parts[1:3] if len(parts) > 3 else parts[1:2])
            sizes[key] = sizes.get(key, 0) + len((ROOT / file).read_text("utf-8").splitlines())
    path.write_text(json.dumps(sizes, indent=1, sort_keys=True) + "\n", "utf-8")


def is_package(key: str) -> bool:
    """Return whether a size is of a package of py/."""
    return key.startswith(("py rules_bento", "py bento_cli"))


def main() -> None:
    """Move and rewrite."""
    old_paths = move_files()
    changed = []
    for path in git("ls-files", "-z").split("\0"):
        file = ROOT / path
        if not path or path in UNCHANGED or not file.is_file() or file.is_symlink():
            continue
        try:
            text = before = file.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            continue
        for old, pattern, replacement in SPECIAL:
            if old_paths.get(path, path) == old:
                text = text.replace(pattern, replacement)
        if path.endswith(".py") and ("rules_bento" in text or "bento_cli" in text):
            text = rewrite_imports(text)
        text = rewrite_text(text, is_prose=path.endswith(".md"))
        if text != before:
            file.write_bytes(text.encode("utf-8"))
            changed.append(path)
    python = [path for path in {*changed, *old_paths} if path.endswith(".py")]
    for command in (["check", "-q", "--fix", "--select", "I"], ["format", "-q"]):
        if python:
            subprocess.run(["ruff", *command, *sorted(python)], cwd=ROOT, check=True)
    count_sizes()
    git("add", "-A", "py")
    sys.stdout.write(f"moved {len(old_paths)} files, rewrote {len(changed)}\n")


if __name__ == "__main__":
    main()
