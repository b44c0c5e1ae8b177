"""Evaluates environment markers (PEP 508) for a platform and a Python version.

A lock contains the unchanged marker of each edge. Package hubs evaluate it, because they determine the platform and the Python version."""

load(":lock_shapes.bzl", "OPERATORS", "next_token")

# Variables that are compared as versions. Other variables are compared as strings.
_VERSIONS = ["python_version", "python_full_version", "implementation_version"]

_PLATFORM_VARIABLES = {
    "darwin": {"os_name": "posix", "platform_system": "Darwin", "sys_platform": "darwin"},
    "linux": {"os_name": "posix", "platform_system": "Linux", "sys_platform": "linux"},
}

# Machines in markers and wheel tags.
MACHINES = {"darwin_amd64": "x86_64", "darwin_arm64": "arm64", "linux_amd64": "x86_64", "linux_arm64": "aarch64"}

def marker_environment(platform, python_version):
    """Returns the values of marker variables for a platform and a Python version.

    Args:
      platform: `<os>_<architecture>`, such as `linux_amd64` or `darwin_arm64`.
      python_version: `X.Y` or `X.Y.Z`. The default patch version is 0.

    Returns:
      A dict of PEP 508 variable to string.
    """
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
    return {"!=": order != 0, "<": order < 0, "<=": order <= 0, "==": order == 0, "===": left == right, ">": order > 0, ">=": order >= 0}[operator]

def _compare(left, operator, right, environment):
    """Returns whether a comparison in a marker is true. An operand is a quoted string or a variable."""
    has_version = left in _VERSIONS or right in _VERSIONS
    left, right = [text[1:-1] if text[0] in "'\"" else environment[text] for text in (left, right)]
    if operator == "in":
        return left in right
    if operator.startswith("not"):
        return left not in right
    if has_version:
        return _compare_versions(left, operator, right)
    return (left != right) == (operator == "!=")

def evaluate_marker(marker, environment):
    """Evaluates a marker.

    Args:
      marker: a marker that lock_shapes.bzl accepts. An empty marker is true.
      environment: result of `marker_environment`.

    Returns:
      Whether the marker is true.
    """

    # The stack has a frame for each open parenthesis: the intermediate results of `or` and of `and`.
    frames = [[False, True]]
    terms, rest = [], marker.lstrip(" ")
    for _ in range(len(marker)):
        if not rest:
            break
        kind, length = next_token(rest)
        text, rest = rest[:length], rest[length:].lstrip(" ")
        value = None
        if kind == "(":
            frames.append([False, True])
        elif text == "or":
            frames[-1] = [frames[-1][0] or frames[-1][1], True]
        elif kind == ")":
            closed = frames.pop()
            value = closed[0] or closed[1]
        elif text != "and":
            terms.append(text)
            if len(terms) == 3:
                value = _compare(terms[0], terms[1], terms[2], environment)
                terms = []
        if value != None:
            frames[-1][1] = frames[-1][1] and value
    return frames[0][0] or frames[0][1]

def is_python_in(specifiers, python_version):
    """Returns whether a Python version is in a range such as `>=3.10,<4`. For `X.Y`, returns whether any patch version is in the range."""
    if len(python_version.split(".")) > 2:
        return _is_version_in(specifiers, python_version)
    return any([_is_version_in(specifiers, "{}.{}".format(python_version, patch)) for patch in range(100)])

def _is_version_in(specifiers, version):
    for specifier in specifiers.split(","):
        specifier = specifier.strip()
        operator = [o for o in OPERATORS if specifier.startswith(o)]
        if not operator:
            continue
        bound = specifier.removeprefix(operator[0]).strip()
        if operator[0] not in ("==", "!="):
            bound = bound.removesuffix(".*")  # old packages contain `>=3.6.*`
        if not _compare_versions(version, operator[0], bound):
            return False
    return True
