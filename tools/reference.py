#!/usr/bin/env python3
"""Writes docs/reference.md from what the sources say of themselves: `python3 tools/reference.py`.

Rules, providers, macros and tags are those of the public Starlark files, flags have the comments of rules/BUILD.bazel,
and commands are those of the parsers of `bento`.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any

sys.path.append(str(Path(__file__).resolve().parent))
sys.path.append(str(Path(__file__).resolve().parents[1] / "py"))

from declarations import KINDS, Attribute, Attributes, Extension, Provider, Repository, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = """\
# Reference

Written by `python3 tools/reference.py` from the sources; a test holds it true. What any rule of Bazel's has (`tags`,
`visibility`, …) is not repeated.

[Rules](#rules) · [Macros and functions](#macros-and-functions) · [Module extensions](#module-extensions) ·
[Flags](#flags) · [Providers](#providers) · [Commands](#commands)
"""
_RULES = """\
## Rules

Of `@rules_bento//rules:defs.bzl`.
"""
_FUNCTIONS = """\
## Macros and functions

Of `@rules_bento//rules:defs.bzl`.
"""
_EXTENSIONS = """\
## Module extensions

Of `@rules_bento//toolchains:extensions.bzl`, for MODULE.bazel.
"""
_PROVIDERS = """\
## Providers

Of `@rules_bento//rules:providers.bzl`.
"""
_COMMANDS = """\
## Commands

`bento COMMAND` where it is installed, and `bazel run @rules_bento//tools:bento -- COMMAND` ([guide](cli.md)). Each
takes `--home FOLDER`, the store, in place of what `BENTOML_HOME` names.
"""
_OF_EACH_COMMAND = ("help", "home")
_FLAG = re.compile(
    r'((?:# .*\n)+)bento_(\w+_flag)\(\n    name = "(\w+)",\n    build_setting_default = (.*),\n',
    re.MULTILINE,
)


def reference(root: Path) -> str:
    """Return the text of docs/reference.md for the repository at `root`."""
    repository = Repository(root)
    public = _public(repository, root, "rules/defs.bzl")
    providers = _public(repository, root, "rules/providers.bzl")
    extensions = repository.load("//toolchains:extensions.bzl").values()
    tags = [tag for each in extensions if isinstance(each, Extension) for tag in each.tags.values()]
    functions = dict(_functions(public))
    parts = [_HEAD, _RULES]
    parts += [_attributes(value) for value in public.values() if isinstance(value, Rule)]
    parts += [_FUNCTIONS] + [_function(name, value) for name, value in functions.items()]
    parts += [_EXTENSIONS] + [_attributes(tag) for tag in sorted(tags, key=lambda tag: tag.name)]
    parts += ["## Flags\n", "".join(f"- `{flag}`: {doc}\n" for flag, doc in flags(root).items())]
    parts += [_PROVIDERS] + [_provider(value) for value in providers.values() if isinstance(value, Provider)]
    parts += [_COMMANDS, *_commands()]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _public(repository: Repository, root: Path, path: str) -> dict[str, Any]:
    folder, _, name = path.rpartition("/")
    defined = repository.load(f"//{folder}:{name}")
    # As the files define them that are loaded: a macro around a rule has no attributes, and a renamed name is left out.
    return {name: defined[f"_{name}"] for name in _assigned(root / path) if f"_{name}" in defined}


def _functions(public: dict[str, Any]) -> Iterator[tuple[str, FunctionType]]:
    for name, value in public.items():
        if isinstance(value, FunctionType):
            yield name, value
        elif isinstance(value, SimpleNamespace):
            yield from ((f"{name}.{each}", function) for each, function in vars(value).items())


def _assigned(path: Path) -> list[str]:
    """Return the names that a file defines itself, by `name = …`."""
    assignments = [each for each in ast.parse(path.read_text("utf-8")).body if isinstance(each, ast.Assign)]
    return [target.id for each in assignments for target in each.targets if isinstance(target, ast.Name)]


def _attributes(found: Attributes) -> str:
    public = {
        name: value
        for name, value in found.attrs.items()
        if not name.startswith("_") and not value.doc.startswith("Renamed:")
    }
    ordered = sorted(public.items(), key=lambda item: (not item[1].mandatory, item[0]))
    lines = [f"- `{name}` ({_type(value)}): {_line(value.doc)}\n" for name, value in ordered]
    return f"### {found.name}\n\n{found.doc.strip()}\n\n{''.join(lines)}"


def _type(attribute: Attribute) -> str:
    said = KINDS[attribute.kind][0]
    if attribute.mandatory:
        return f"{said}, required"
    values = [f"`{_starlark(value)}`" for value in attribute.values if value != ""]
    said += f": {', '.join(values)}" if values else ""
    return f"{said}; default `{_starlark(attribute.default)}`" if attribute.default else said


def _starlark(value: object) -> str:
    return re.sub(r"'([^'\"]*)'", r'"\1"', repr(value))


def _line(text: str) -> str:
    return " ".join(text.split())


def _function(name: str, function: FunctionType) -> str:
    text, _, rest = (inspect.getdoc(function) or "").partition("\nArgs:\n")
    if not rest:
        text, _, returns = text.partition("\nReturns:\n")
    else:
        rest, _, returns = rest.partition("\nReturns:\n")
    stated = re.findall(r"^ +([*\w]+): (.*(?:\n    +.*)*)", rest, re.MULTILINE)
    listed = "".join(f"- `{word}`: {_line(what)}\n" for word, what in stated)
    after = f"\nReturns {_line(returns)[:1].lower()}{_line(returns)[1:]}\n" if returns else ""
    return f"### {name}\n\n`{name}{inspect.signature(function)}`\n\n{text.strip()}\n\n{listed}{after}"


def _provider(provider: Provider) -> str:
    lines = [f"- `{name}`: {_line(doc)}\n" for name, doc in provider.fields.items()]
    return f"### {provider.name}\n\n{provider.doc.strip()}\n\n{''.join(lines)}"


def flags(root: Path) -> dict[str, str]:
    """Return flags and the comments above them, without those that only rules set."""
    by_name = {}
    for comment, kind, name, default in _FLAG.findall((root / "rules/BUILD.bazel").read_text("utf-8")):
        doc = _line(comment.replace("# ", ""))
        if "Rules set it" not in doc:
            value = "" if kind == "bool_flag" else "=VALUE"
            shown = "" if default in ("[]", "False") else f" Default: `{default.strip(chr(34))}`."
            by_name[f"--@rules_bento//rules:{name}{value}"] = doc + shown
    return by_name


def _commands() -> Iterator[str]:
    from rules_bento.cli.parsing import make_parser
    from rules_bento.cli.table import COMMANDS

    for command in (command for command in COMMANDS if not command.hidden):
        parser = make_parser(command)
        shown = [action for action in parser._actions if action.dest not in _OF_EACH_COMMAND]
        options = "".join(_option(action) for action in shown if action.help != argparse.SUPPRESS)
        usage = " ".join(
            ["bento", command.name, "[OPTIONS]", *(_word(each) for each in shown if not each.option_strings)]
        )
        epilog = f"\n{parser.epilog.strip()}\n" if parser.epilog else ""
        yield f"### bento {command.name}\n\n`{usage}`\n\n{command.summary}\n\n{options}{epilog}"


def _word(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest)
    return {"?": f"[{name}]", "*": f"[{name}...]", "+": f"{name}..."}.get(str(action.nargs), name)


def _option(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else f" {_value(action)}"
    names = [f"`{name}{value}`" for name in action.option_strings] or [f"`{_word(action)}`"]
    said = (action.help or "") % {**vars(action), "prog": "bento"}
    return f"- {', '.join(names)}: {_line(said)}\n" if said else f"- {', '.join(names)}\n"


def _value(action: argparse.Action) -> str:
    if action.metavar:
        return " ".join(action.metavar) if isinstance(action.metavar, tuple) else action.metavar
    return "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()


def main() -> None:
    """Write the file."""
    root = Path(__file__).resolve().parents[1]
    (root / "docs/reference.md").write_text(reference(root), "utf-8")


if __name__ == "__main__":
    main()
