"""Runs Starlark files of this repository as Python, if a test calls functions that are also valid Python."""

from pathlib import Path

_TYPES = {"str": "string", "NoneType": "NoneType"}


class FailError(Exception):
    """Reports a call of `fail`."""


class _Attributes:
    def __getattr__(self, _name):
        return lambda **_named: None


def _fail(*texts):
    raise FailError(" ".join(map(str, texts)))


def load(path):
    """Return the names in a .bzl file, including the names that it loads from files of this repository.

    Names of other repositories are None.
    """
    names = {"fail": _fail, "type": lambda value: _TYPES.get(type(value).__name__, type(value).__name__)}

    def load_names(label, *loaded, **_renamed):
        package, _, file = label.partition(":")
        if label.startswith("@"):
            names.update(dict.fromkeys(loaded))
            return
        of = load((Path(package.removeprefix("//")) if package else Path(path).parent) / file)
        names.update({name: of[name] for name in loaded})

    names |= {"Label": str, "attr": _Attributes(), "load": load_names, "repository_rule": lambda **_named: None}
    exec(compile(Path(path).read_text("utf-8"), str(path), "exec"), names)
    return names
