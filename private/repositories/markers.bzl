"""Evaluates environment markers (PEP 508) for a platform and a Python version.

A lock contains the unchanged marker of each edge. Package hubs evaluate it, because they determine the platform and
the Python version."""

_OPERATORS = ["===", "==", "!=", "~=", "<=", ">=", "<", ">"]
_WORD = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

# Variables that are compared as versions. Other variables are compared as strings.
_VERSIONS = ["python_version", "python_full_version", "implementation_version"]

_PLATFORM_VARIABLES = {
    "darwin": {"os_name": "posix", "platform_system": "Darwin", "sys_platform": "darwin"},
    "linux": {"os_name": "posix", "platform_system": "Linux", "sys_platform": "linux"},
}

# Machines in markers and wheel tags.
MACHINES = {"darwin_amd64": "x86_64", "darwin_arm64": "arm64", "linux_amd64": "x86_64", "linux_arm64": "aarch64"}

def marker_environment(platform, python_version):
    """Returns the values of marker variables (PEP 508) for a platform and a Python version, `X.Y` or `X.Y.Z`."""
    if platform not in MACHINES:
        fail("unknown platform '{}'. Valid values: {}.".format(platform, ", ".join(MACHINES)))
    parts = python_version.split(".")
    full = python_version if len(parts) > 2 else python_version + ".0"
    return _PLATFORM_VARIABLES[platform.partition("_")[0]] | {
        "extra": "",
        "implementation_name": "cpython",
        "implementation_version": full,
        "platform_machine": MACHINES[platform],
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_version": "",
        "python_full_version": full,
        "python_version": ".".join(parts[:2]),
    }

def _release(version):
    """Returns the release numbers of a version, such as [3, 12, 1] for `3.12.1rc1`."""
    release = []
    for part in version.split("."):
        digits = part[:len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        release.append(int(digits))
    return release

def compare_releases(left, right):
    """Returns -1, 0, or 1 for the order of two versions' release numbers, in which missing numbers are 0 (PEP 440)."""
    left, right = _release(left), _release(right)
    left, right = left + [0] * (len(right) - len(left)), right + [0] * (len(left) - len(right))
    return -1 if left < right else (1 if left > right else 0)

def _matches_prefix(version, prefix):
    release = _release(prefix)
    return _release(version + ".0.0")[:len(release)] == release

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

def _operand(text, environment):
    return text[1:-1] if text[0] in "'\"" else environment.get(text)

def _compare(term, environment):
    """Returns whether a comparison in a marker, a list of three tokens, is true, or None if it is invalid.

    An operand is a quoted string or a variable.
    """
    left, operator, right = term
    has_version = left in _VERSIONS or right in _VERSIONS
    left, right = _operand(left, environment), _operand(right, environment)
    if left == None or right == None:
        return None
    if operator == "in":
        return left in right
    if operator.startswith("not") and operator.endswith(" in"):
        return left not in right
    if operator not in _OPERATORS:
        return None
    if has_version:
        return _compare_versions(left, operator, right)
    return (left != right) == (operator == "!=")

def _next_token(text):
    """Returns the first token of a marker, or an empty string for an invalid token."""
    if text[0] in "()":
        return text[0]
    if text[0] in "'\"":
        return text[:text.find(text[0], 1) + 1]
    for operator in _OPERATORS:
        if text.startswith(operator):
            return operator
    word = text[:len(text) - len(text.lstrip(_WORD))]
    return text[:len(text) - len(text[3:].lstrip(" ")) + 2] if word == "not" else word

def evaluate_marker(marker, environment):
    """Returns whether a marker is true for the result of `marker_environment`, or None for an invalid marker."""

    # The stack has a frame for each open parenthesis: the intermediate results of `or` and of `and`.
    frames = [[False, True]]
    term, is_complete, rest = [], not marker, marker.lstrip(" ")
    for _ in range(len(marker)):
        if not rest:
            break
        token = _next_token(rest)
        if not token or is_complete != (token in ["and", "or", ")"]):
            return None
        rest = rest[len(token):].lstrip(" ")
        value = None
        if token == "(":
            frames.append([False, True])
        elif token == "or":
            frames[-1] = [frames[-1][0] or frames[-1][1], True]
        elif token == ")":
            if len(frames) == 1:
                return None
            closed = frames.pop()
            value = closed[0] or closed[1]
        elif token != "and":
            term.append(token)
            if len(term) == 3:
                value = _compare(term, environment)
                if value == None:
                    return None
                term = []
        is_complete = value != None
        if is_complete:
            frames[-1][1] = frames[-1][1] and value
    if not is_complete or len(frames) > 1:
        return None
    return frames[0][0] or frames[0][1]

def is_python_in(specifiers, python_version):
    """Returns whether a Python version is in a range such as `>=3.10,<4`.

    For `X.Y`, returns whether any patch version is in the range.
    """
    if len(python_version.split(".")) > 2:
        return _is_version_in(specifiers, python_version)
    return any([_is_version_in(specifiers, "{}.{}".format(python_version, patch)) for patch in range(100)])

def _is_version_in(specifiers, version):
    for specifier in specifiers.split(","):
        specifier = specifier.strip()
        operator = [o for o in _OPERATORS if specifier.startswith(o)]
        if not operator:
            continue
        bound = specifier.removeprefix(operator[0]).strip()
        if operator[0] not in ("==", "!="):
            bound = bound.removesuffix(".*")  # old packages contain `>=3.6.*`
        if not _compare_versions(version, operator[0], bound):
            return False
    return True
