"""Runs Starlark of this repository as Python, whose subset it nearly is, where a test calls plain functions."""

from pathlib import Path

_TYPES = {"str": "string", "NoneType": "NoneType"}


class FailError(Exception):
    """What `fail` raises."""


class _Attributes:
    def __getattr__(self, _name):
        return lambda **_named: None


def _fail(*texts):
    raise FailError(" ".join(map(str, texts)))


def load(path):
    """The names of a .bzl file, with those that it loads from beside it."""
    names = {"fail": _fail, "type": lambda value: _TYPES.get(type(value).__name__, type(value).__name__)}

    def load_names(label, *loaded, **_renamed):
        of = load(Path(path).with_name(label.removeprefix(":")))
        names.update({name: of[name] for name in loaded})

    names |= {"attr": _Attributes(), "load": load_names, "repository_rule": lambda **_named: None}
    exec(compile(Path(path).read_text("utf-8"), str(path), "exec"), names)
    return names
