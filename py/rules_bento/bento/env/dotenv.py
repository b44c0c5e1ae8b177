"""Files of `NAME=value` lines, as `docker.env` may name one."""

from __future__ import annotations

import re

from rules_bento.errors import BentoError

_SETTING = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*(?:=|:\s)\s*(.*)")
_LITERAL = re.compile(r"'([^']*)'\s*(?:#.*)?")
_QUOTED = re.compile(r'"((?:\\.|[^"\\])*)"\s*(?:#.*)?')
_VARIABLE = re.compile(r"(\\)?\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def parse(text: str, origin: str) -> dict[str, str]:
    """Return the variables of a file. `$NAME` means an earlier line, never the machine that builds.

    Raises BentoError, naming file and line, for a line that cannot be read and for an unknown `$NAME`.
    """
    values: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        setting = _SETTING.fullmatch(line)
        if not setting:
            # Not the line itself, which may be a piece of a secret.
            raise BentoError(f"{origin}:{number}: cannot be read. Write NAME=value.")
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
        raise BentoError(f"{place}: {text!r} has no end to its quotes, or more behind them. Write one value.")
    return _expand(re.sub(r"(^|\s)#.*", "", text).strip(), variables, place)


def _expand(value: str, variables: dict[str, str], place: str) -> str:
    def replacement(match: re.Match[str]) -> str:
        name = match[2] or match[3]
        if match[1]:
            return match[0][1:]
        if name not in variables:
            raise BentoError(f"{place}: ${name} is set on no line above, and a build knows no other. Write \\${name}.")
        return variables[name]

    return _VARIABLE.sub(replacement, value)
