"""Checks the answer of an import. The code of the service might have written anything instead of the metadata."""

from __future__ import annotations

import re
import types
import typing

from rules_bento.errors import BentoError
from rules_bento.service import metadata
from rules_bento.typing_lite import Any, Iterator

# Fields that can have line breaks: documentation, labels, and fields that other modules check or quote.
_TEXTS = re.compile(
    r"(description|labels\..*|envs\.\d+\.value|services\.\d+\.(doc|config\..*)"
    r"|image\.(calls\..*|arguments\.(commands|post_commands|python_requirements)\b.*))",
    re.DOTALL,
)
_CONTROL = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]")


_PAIRS = tuple[tuple[str, ...], ...]


def read(answer: dict[str, Any], service: str) -> tuple[metadata.ServiceInfo, dict[str, Any], str]:
    """Return the metadata, the schema, and the OpenAPI document of an answer. Raises BentoError if it is invalid."""
    fields: dict[str, Any] = answer.get("metadata") or {}
    schema, openapi = answer.get("schema"), answer.get("openapi")
    if not (_is_valid(fields, metadata.ServiceInfo) and isinstance(schema, dict) and isinstance(openapi, str)):
        raise _invalid(service)
    for name, text in _strings(fields, ""):
        if _CONTROL.search(text) and not _TEXTS.fullmatch(name):
            problem = f"{name} contains a line break or another control character: {text[:80]!r}"
            raise BentoError(problem, place=place_of(name, fields), remedy="Remove the character.")
    return metadata.from_json(fields), schema, openapi


def check(answer: dict[str, Any], service: str) -> None:
    """Raise BentoError if the lines and modules in an answer, on which the result depends, are invalid."""
    varied, optional, variables = answer.get("varied"), answer.get("optional"), answer.get("variables", [])
    is_list = _is_valid(optional, tuple[str, ...]) and _is_valid(variables, tuple[str, ...])
    if not (_is_valid(varied, _PAIRS) and is_list and {*map(len, varied or ())} <= {2}):
        raise _invalid(service)


def _invalid(service: str) -> BentoError:
    problem = "the result of the import is invalid. The service's code might have written it"
    return BentoError(problem, place=service, remedy="Remove code that writes files during the import.")


def place_of(name: str, fields: dict[str, Any]) -> str:
    """Return the `file:line` of the service with the metadata field `name`. For a legacy service, returns the file."""
    index = re.match(r"services\.([0-9]+)", name)
    services = fields["services"][int(index[1]) if index else 0 :]
    return f"{services[0]['path']}:{services[0]['line']}" if services else str(fields["path"])


def _is_valid(value: Any, form: Any) -> bool:
    """Return whether a JSON value has the type `form`: a class of `metadata`, or an annotation."""
    origin, args = typing.get_origin(form), typing.get_args(form)
    if form is object:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_is_valid(value, each) for each in args)
    if origin is typing.Literal:
        return value in args
    if origin is tuple:
        return isinstance(value, list) and all(_is_valid(each, args[0]) for each in value)
    if origin is dict:
        return isinstance(value, dict) and all(_is_valid(each, args[1]) for each in value.values())
    if form.__module__ != metadata.__name__:
        return type(value) is form
    hints = typing.get_type_hints(form, localns={"Json": object, "Literal": typing.Literal})
    return isinstance(value, dict) and {*value} == {*hints} and all(_is_valid(value[key], hints[key]) for key in hints)


def _strings(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield the name and value of each string, and of each key."""
    if isinstance(value, str):
        yield name, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(key, str):
            yield name, key
        yield from _strings(item, f"{name}.{key}".lstrip("."))
