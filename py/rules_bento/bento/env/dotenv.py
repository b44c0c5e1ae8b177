"""Parses dotenv files (`NAME=value` lines) for `docker.env`."""

from __future__ import annotations

import re

from rules_bento.errors import BentoError

_SETTING = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*(?:=|:\s)\s*(.*)")
_LITERAL = re.compile(r"'([^']*)'\s*(?:#.*)?")
_QUOTED = re.compile(r'"((?:\\.|[^"\\])*)"\s*(?:#.*)?')
_VARIABLE = re.compile(r"(\\)?\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def parse(text: str, origin: str) -> dict[str, str]:
    """Return the variables of a file. `$NAME` refers to earlier lines, never to this machine's environment.

    Raises BentoError, with file and line, for an invalid line or an undefined `$NAME`.
    """
    values: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        setting = _SETTING.fullmatch(line)
        if not setting:
            # Don't print the line, which might contain a secret.
            raise BentoError(f"{origin}:{number}: invalid line. Write NAME=value.")
        values[setting[1]] = _value(setting[2], values, f"{origin}:{number}")
    return values


def _value(text: str, variables: dict[str, str], place: str) -> str:
    literal = _LITERAL.fullmatch(text)
    if literal:
        return literal[1]
    quoted = _QUOTED.fullmatch(text)
    if quoted:
        return _expand(re.sub(r"\\([^$])", r"\1", quoted[1]), variables, place)
    if text.startswith(("'", '"')):
        raise BentoError(f"{place}: {text!r} isn't a single quoted value. Correct the quotes.")
    return _expand(re.sub(r"(^|\s)#.*", "", text).strip(), variables, place)


def _expand(value: str, variables: dict[str, str], place: str) -> str:
    def replacement(match: re.Match[str]) -> str:
        name = match[2] or match[3]
        if match[1]:
            return match[0][1:]
        if name not in variables:
            raise BentoError(f"{place}: ${name} isn't defined by a line above. Define it, or write \\${name}.")
        return variables[name]

    return _VARIABLE.sub(replacement, value)
