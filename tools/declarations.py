"""Reads the declarations of Starlark files: rules, providers, extensions, macros, and flags, with their documentation.

Starlark declarations are valid Python, except for `load` and the names that Bazel defines. Therefore the program runs
the files with replacements for these names, which record their calls. The replacements also check calls: the code
blocks of the documentation are run, and an unknown attribute of a rule is an error.
"""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PUBLIC = ("defs", "startup")
"""Files of rules/ with public rules, without `.bzl`."""
# Bazel's types of attributes, and their names in the documentation.
KINDS = {
    "bool": ("boolean", bool),
    "int": ("integer", int),
    "label": ("label", str),
    "label_keyed_string_dict": ("dict of labels to strings", dict),
    "label_list": ("list of labels", list),
    "output": ("output", str),
    "string": ("string", str),
    "string_dict": ("dict of strings", dict),
    "string_keyed_label_dict": ("dict of strings to labels", dict),
    "string_list": ("list of strings", list),
    "string_list_dict": ("dict of lists of strings", dict),
}
_ANY_RULE = {
    "aspect_hints",
    "compatible_with",
    "deprecation",
    "exec_compatible_with",
    "exec_properties",
    "features",
    "name",
    "package_metadata",
    "restricted_to",
    "tags",
    "target_compatible_with",
    "testonly",
    "toolchains",
    "visibility",
}
_ANY_PROGRAM = {"args"}
_ANY_TEST = {"args", "flaky", "local", "shard_count", "size", "timeout"}
# Bazel's own rules, whose calls are checked only for a name.
_NATIVE = ("alias", "config_setting", "constraint_value", "filegroup", "genrule", "platform", "test_suite")
# Results of an analysis.
_UNKNOWN = (
    "aspect",
    "config",
    "config_common",
    "configuration_field",
    "config_common",
    "coverage_common",
    "depset",
    "exec_group",
    "exports_files",
    "package",
    "platform_common",
    "repository_rule",
    "testing",
    "transition",
)
_STARLARK_TYPES = {"NoneType": "NoneType", "str": "string", "function": "function", "SimpleNamespace": "struct"}


class DeclarationError(Exception):
    """Reports a file or code block that Bazel would reject."""


class Select:
    """Represents an attribute value that depends on the configuration."""

    def __add__(self, other: object) -> Select:
        return self

    __radd__ = __or__ = __ror__ = __add__


class Unknown:
    """Represents a value of another repository or of an analysis."""

    def __call__(self, *args: object, **kwargs: object) -> Unknown:
        """Return another unknown value."""
        return Unknown()

    def __getattr__(self, name: str) -> Unknown:
        if name.startswith("__"):
            raise AttributeError(name)
        return Unknown()


@dataclass(frozen=True)
class Attribute:
    """Describes an attribute of a rule or of a tag."""

    kind: str
    doc: str = ""
    default: object = None
    mandatory: bool = False
    values: tuple[object, ...] = ()
    empty: bool = True

    def check(self, name: str, value: object) -> None:
        """Raise DeclarationError for an invalid value."""
        if value is None or isinstance(value, (Select, Unknown)):
            return
        said, wanted = KINDS[self.kind]
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise DeclarationError(f"{name} is {value!r}, but must be a {said}")
        if self.values and value not in self.values:
            raise DeclarationError(f"{name} is {value!r}. Valid values: {', '.join(map(repr, self.values))}")
        if not self.empty and not value:
            raise DeclarationError(f"{name} must not be empty")


@dataclass
class Attributes:
    """Describes a callable that has attributes."""

    doc: str
    attrs: dict[str, Attribute]
    name: str = ""
    also: set[str] = field(default_factory=set)

    def check(self, given: dict[str, object]) -> None:
        """Raise DeclarationError for an invalid call."""
        public = {name: attribute for name, attribute in self.attrs.items() if not name.startswith("_")}
        for name, value in given.items():
            if name in public:
                public[name].check(f"{self.name}: {name}", value)
            elif name not in self.also:
                raise DeclarationError(f"{self.name} has no attribute {name}")
        missing = [name for name, attribute in public.items() if attribute.mandatory and name not in given]
        if missing:
            raise DeclarationError(f"{self.name} lacks {', '.join(missing)}")


@dataclass
class Rule(Attributes):
    """Describes a rule."""

    def __call__(self, **given: object) -> None:
        """Check a target. Raises DeclarationError if an attribute is invalid."""
        if "name" not in given:
            raise DeclarationError(f"{self.name} lacks name")
        self.check(given)


@dataclass
class Provider:
    """Describes a provider."""

    doc: str
    fields: dict[str, str]
    name: str = ""

    def __call__(self, **given: object) -> SimpleNamespace:
        """Return an instance."""
        return SimpleNamespace(**given)


@dataclass
class Extension:
    """Describes a module extension, whose tags are methods."""

    doc: str
    tags: dict[str, Attributes]
    name: str = ""

    def proxy(self) -> SimpleNamespace:
        """Return the result of `use_extension`."""

        def caller(tag: Attributes) -> Callable[..., None]:
            return lambda **given: tag.check(given)

        return SimpleNamespace(**{name: caller(tag) for name, tag in self.tags.items()})


def _attribute(kind: str) -> Callable[..., Attribute]:
    def make(
        default: object = None, doc: str = "", mandatory: bool = False, values: Any = (), **rest: Any
    ) -> Attribute:
        return Attribute(kind, doc, default, mandatory, tuple(values), rest.get("allow_empty", True))

    return make


def _rule(implementation: object = None, doc: str = "", attrs: Any = None, **rest: Any) -> Rule:
    also = _ANY_RULE | (_ANY_TEST if rest.get("test") else set()) | (_ANY_PROGRAM if rest.get("executable") else set())
    return Rule(doc, dict(attrs or {}), also=also | ({"build_setting_default"} if rest.get("build_setting") else set()))


def _provider(doc: str = "", fields: Any = None, init: object = None) -> object:
    made = Provider(doc, dict(fields) if isinstance(fields, dict) else dict.fromkeys(fields or (), ""))
    return (made, made) if init else made


def _fail(*words: object, **rest: object) -> None:
    raise DeclarationError(" ".join(map(str, words)))


def _type(value: object) -> str:
    name = type(value).__name__
    return _STARLARK_TYPES.get(name, name)


def _extension(implementation: object = None, doc: str = "", tag_classes: Any = None, **rest: object) -> Extension:
    return Extension(doc, dict(tag_classes or {}))


def bazel_names() -> dict[str, Any]:
    """Return the names that Bazel defines in every file."""
    native = dict.fromkeys(_NATIVE, Unknown())
    unknown = dict.fromkeys(_UNKNOWN, Unknown())
    known = {
        "Label": str,
        "attr": SimpleNamespace(**{kind: _attribute(kind) for kind in KINDS}),
        "dir": lambda value: sorted(vars(value)),
        "fail": _fail,
        "glob": lambda *_, **__: [],
        "json": SimpleNamespace(encode=json.dumps, decode=json.loads),
        "module_extension": _extension,
        "native": SimpleNamespace(**native),
        "provider": _provider,
        "rule": _rule,
        "select": lambda *_, **__: Select(),
        "struct": SimpleNamespace,
        "tag_class": lambda doc="", attrs=None: Attributes(doc, dict(attrs or {})),
        "type": _type,
    }
    return unknown | native | known


@dataclass
class Repository:
    """Runs the Starlark files below a directory, each once."""

    root: Path
    _files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def load(self, label: str, package: str = "") -> dict[str, Any]:
        """Return the names of a .bzl file. Raises DeclarationError if it is missing or cannot be run."""
        label = label.removeprefix("@rules_bento")
        directory, _, name = label.removeprefix("//").rpartition(":")
        path = f"{directory if label.startswith('//') else package}/{name}"
        if path not in self._files:
            if not (self.root / path).is_file():
                raise DeclarationError(f"{label} doesn't exist")
            self._files[path] = names = bazel_names()
            self.run((self.root / path).read_text("utf-8"), path, names)
            _name(names)
        return self._files[path]

    def run(self, text: str, path: str, names: dict[str, Any]) -> None:
        """Run a file, or a code block at `path`, with `names`. Raises DeclarationError if it fails."""

        def load(label: str, *same: str, **renamed: str) -> None:
            known = self._defined(label, path.rpartition("/")[0])
            for name, wanted in {**dict(zip(same, same, strict=True)), **renamed}.items():
                if known is not None and wanted not in known:
                    raise DeclarationError(f"{label} has no {wanted}")
                names[name] = Unknown() if known is None else known[wanted]

        names["load"] = load
        try:
            exec(compile(ast.parse(text, path), path, "exec"), names)
        except (AttributeError, DeclarationError, NameError, SyntaxError, TypeError) as error:
            raise DeclarationError(f"{path}: {error}") from error

    def _defined(self, label: str, package: str) -> dict[str, Any] | None:
        """Return the names of a file, or None for a file of another repository."""
        if label.startswith("@") and not label.startswith("@rules_bento//"):
            return None
        return self.load(label, package)


def _name(found: dict[str, Any]) -> None:
    """Set the names of rules, providers, extensions, and tags to the names of their variables."""
    for name, value in found.items():
        if isinstance(value, (Attributes, Extension, Provider)) and not value.name:
            value.name = name.removeprefix("_")
        if isinstance(value, Extension):
            for tag, attributes in value.tags.items():
                attributes.name = f"{value.name}.{tag}"
