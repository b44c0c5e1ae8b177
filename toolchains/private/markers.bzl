"""Environment markers of PEP 508, evaluated in Starlark.

Locks carry the marker of each edge as the resolver wrote it; what holds is known only when platform and
Python version are, so it is evaluated where a hub is made.
"""

# Variables that compare as versions; all others compare as strings.
_VERSIONS = ["python_version", "python_full_version", "implementation_version"]
_OPERATORS = ["===", "==", "!=", "<=", ">=", "~=", "<", ">"]
_WORD = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_."

_PLATFORM_VARIABLES = {
    "linux": {"os_name": "posix", "platform_system": "Linux", "sys_platform": "linux"},
    "macos": {"os_name": "posix", "platform_system": "Darwin", "sys_platform": "darwin"},
}

def marker_environment(platform, python_version):
    """Returns the variables of a target.

    Args:
      platform: `<os>_<machine>`, for example `linux_x86_64` or `macos_arm64`.
      python_version: `X.Y` or `X.Y.Z`; a missing patch level counts as 0.

    Returns:
      A dict from the variable names of PEP 508 to strings.
    """
    os, _, machine = platform.partition("_")
    if os not in _PLATFORM_VARIABLES:
        fail("platform '{}' is not known: write <os>_<machine> with an os of {}".format(
            platform,
            ", ".join(_PLATFORM_VARIABLES),
        ))
    parts = python_version.split(".")
    full = python_version if len(parts) > 2 else python_version + ".0"
    return _PLATFORM_VARIABLES[os] | {
        "extra": "",
        "implementation_name": "cpython",
        "implementation_version": full,
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_version": "",
        "python_full_version": full,
        "python_version": ".".join(parts[:2]),
    }

def _tokenize(marker):
    """Splits a marker into (kind, text) pairs; kinds are `(`, `)`, `and`, `or`, `op`, `name` and `text`."""
    tokens = []
    skip = 0
    for at in range(len(marker)):
        if at < skip or marker[at] == " ":
            continue
        if marker[at] in "()":
            tokens.append((marker[at], marker[at]))
        elif marker[at] in "'\"":
            end = marker.find(marker[at], at + 1)
            if end < 0:
                fail("marker with an open quotation: " + marker)
            tokens.append(("text", marker[at + 1:end]))
            skip = end + 1
        elif marker[at] in "=!<>~":
            operator = [o for o in _OPERATORS if marker[at:].startswith(o)]
            if not operator:
                fail("marker with an unknown operator at '{}': {}".format(marker[at:], marker))
            tokens.append(("op", operator[0]))
            skip = at + len(operator[0])
        else:
            length = len(marker[at:]) - len(marker[at:].lstrip(_WORD))
            if not length:
                fail("marker with an unexpected character at '{}': {}".format(marker[at:], marker))
            word = marker[at:at + length]
            skip = at + length
            if word in ("and", "or"):
                tokens.append((word, word))
            elif word == "in":
                if tokens and tokens[-1] == ("name", "not"):
                    tokens[-1] = ("op", "not in")
                else:
                    tokens.append(("op", "in"))
            else:
                tokens.append(("name", word))
    return tokens

def _release(version):
    """Returns the numeric release of a version, as a list: `3.12.1rc1` gives [3, 12, 1]."""
    release = []
    for part in version.split("."):
        digits = part[:len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        release.append(int(digits))
    return release

def compare_releases(left, right):
    """Compares two versions by their numeric releases.

    Args:
      left: a version, for example `3.12`.
      right: a version.

    Returns:
      -1, 0 or 1, with missing parts taken as 0 as PEP 440 has it.
    """
    left, right = _release(left), _release(right)
    size = max(len(left), len(right))
    left, right = left + [0] * (size - len(left)), right + [0] * (size - len(right))
    return -1 if left < right else (1 if left > right else 0)

def _matches_prefix(version, prefix):
    wanted = _release(prefix)
    return _release(version + ".0.0")[:len(wanted)] == wanted

def _compare_versions(left, operator, right):
    if right.endswith(".*"):
        return _matches_prefix(left, right[:-2]) == (operator == "==")
    if operator == "~=":
        return compare_releases(left, right) >= 0 and _matches_prefix(left, right.rpartition(".")[0])
    order = compare_releases(left, right)
    return {
        "!=": order != 0,
        "<": order < 0,
        "<=": order <= 0,
        "==": order == 0,
        "===": left == right,
        ">": order > 0,
        ">=": order >= 0,
    }[operator]

def _compare(left, operator, right, environment):
    """Compares two (kind, text) tokens."""
    variables = [text for kind, text in (left, right) if kind == "name"]
    for variable in variables:
        if variable not in environment:
            fail("marker with an unknown variable '{}'".format(variable))
    left, right = [environment[text] if kind == "name" else text for kind, text in (left, right)]
    if operator == "in":
        return left in right
    if operator == "not in":
        return left not in right
    if [v for v in variables if v in _VERSIONS]:
        return _compare_versions(left, operator, right)
    if operator == "!=":
        return left != right
    return left == right

def evaluate_marker(marker, environment):
    """Evaluates a marker.

    Args:
      marker: the text, `""` for none.
      environment: what `marker_environment` returns.

    Returns:
      True where the marker holds.
    """
    if not marker:
        return True

    # One frame per open parenthesis: [what an `or` has collected, what an `and` has collected].
    frames = [[False, True]]
    operands = []
    for kind, text in _tokenize(marker):
        value = None
        if kind == "(":
            frames.append([False, True])
        elif kind == "or":
            frames[-1] = [frames[-1][0] or frames[-1][1], True]
        elif kind == ")":
            if len(frames) == 1:
                fail("marker with a parenthesis that nothing opens: " + marker)
            closed = frames.pop()
            value = closed[0] or closed[1]
        elif kind != "and":
            operands.append((kind, text))
            if len(operands) == 3:
                value = _compare(operands[0], operands[1][1], operands[2], environment)
                operands = []
        if value != None:
            frames[-1][1] = frames[-1][1] and value
    if len(frames) != 1 or operands:
        fail("marker that does not end: " + marker)
    return frames[0][0] or frames[0][1]

def fits_python(specifiers, python_version):
    """Returns whether a version of Python is in a range, as `requires-python` has it.

    Args:
      specifiers: for example `>=3.10,<4`; `""` for any.
      python_version: `X.Y.Z`, or `X.Y` for whichever patch level fits.

    Returns:
      True if it is.
    """
    if len(python_version.split(".")) > 2:
        return _is_in(specifiers, python_version)
    return any([_is_in(specifiers, "{}.{}".format(python_version, patch)) for patch in range(100)])

def _is_in(specifiers, version):
    for specifier in specifiers.split(","):
        specifier = specifier.strip()
        operator = [o for o in _OPERATORS if specifier.startswith(o)]
        if not operator:
            continue
        wanted = specifier.removeprefix(operator[0]).strip()
        if operator[0] not in ("==", "!="):
            wanted = wanted.removesuffix(".*")  # old packages have `>=3.6.*`
        if not _compare_versions(version, operator[0], wanted):
            return False
    return True
