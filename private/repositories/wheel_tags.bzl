"""Selects the wheel of a release for a Python version and a platform (PEP 425, 600, and 656)."""

load(":markers.bzl", "MACHINES", "compare_releases")

# Default value of `glibc`, the newest glibc version that wheels can require: the version in Debian 10 and RHEL 8.
DEFAULT_GLIBC = "2.28"

# Default value of `macos`, the newest macOS version that wheels can require: the default of uv.
DEFAULT_MACOS = "13.0"
_LEGACY_MANYLINUX = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}

def parse_wheel_name(filename):
    """Parses the file name of a wheel.

    Args:
      filename: `name-version[-build]-python-abi-platform.whl`.

    Returns:
      A struct of `name` and `version`, the lists `pythons`, `abis`, and `platforms`, `build` (a number and a string,
      which compare in the same
      order as in installers; the number is -1 without a build tag), and `is_known` (whether the name is valid: a build
      tag begins with a number).
    """
    parts = filename.removesuffix(".whl").split("-")
    if len(parts) not in (5, 6):
        return struct(
            abis = [],
            build = (-1, ""),
            is_known = False,
            name = parts[0],
            platforms = [],
            pythons = [],
            version = "",
        )
    build = parts[2] if len(parts) == 6 else ""
    number = build[:len(build) - len(build.lstrip("0123456789"))]
    return struct(
        abis = parts[-2].split("."),
        build = (int(number), build.removeprefix(number)) if number else (-1, ""),
        is_known = bool(number) == bool(build),
        name = parts[0],
        platforms = parts[-1].split("."),
        pythons = parts[-3].split("."),
        version = parts[1],
    )

# Architectures of macOS wheels, best first. Wheels for all of these architectures run on Macs with an Intel processor.
_MACOS_MACHINES = {
    "arm64": ["arm64", "universal2"],
    "x86_64": ["x86_64", "intel", "fat64", "fat32", "universal2", "universal"],
}

# Before macOS 11, the second number identified the release. 10.16 is macOS 11 on Intel processors.
_MACOS_10_NEWEST = 16

# Machine to the oldest system that supports the machine: minor version of macOS 10, or glibc version.
_OLDEST_MACOS_10 = 4
_OLDEST_GLIBC = {"aarch64": "2.17", "x86_64": "2.5"}
_OLDEST_ABI3 = 2

def _minor(python, prefix):
    """Returns the number `Y` in a tag `<prefix>Y`, or None for other tags."""
    digits = python.removeprefix(prefix)
    return int(digits) if python != digits and digits.isdigit() else None

def _python_rank(python, abi, is_any, python_version):
    """Returns two numbers that are larger for better matches of a Python tag and an ABI tag.

    Returns None for incompatible tags.
    """
    major, target_minor = python_version.split(".")[:2]
    target_minor = int(target_minor)
    native = "cp{}{}".format(major, target_minor)
    minor = _minor(python, "cp" + major)
    if python == native and abi == native and not is_any:
        return 6, 0
    if abi == "abi3" and minor != None and _OLDEST_ABI3 <= minor and minor <= target_minor and not is_any:
        return (5, 0) if minor == target_minor else (3, minor)
    if python == native and abi == "none":
        return (1, 0) if is_any else (4, 0)

    # Tags for the exact version have the best rank, then tags for the major version, then tags for older versions.
    minor = target_minor if python == "py" + major else _minor(python, "py" + major)
    if abi == "none" and minor != None and minor <= target_minor:
        exact = python == "py{}{}".format(major, target_minor)
        return (0 if is_any else 2), (target_minor + 1 if exact else minor)
    return None

def _glibc(tag):
    """Returns the glibc version and the machine in a platform tag for Linux, or None for other tags."""
    if tag.startswith("manylinux_"):
        parts = tag.split("_", 3)
        if len(parts) == 4 and parts[1].isdigit() and parts[2].isdigit():
            return parts[1] + "." + parts[2], parts[3]
    family, _, machine = tag.partition("_")
    if family in _LEGACY_MANYLINUX:
        return _LEGACY_MANYLINUX[family], machine
    return None

def _linux_rank(tag, machine, glibc):
    required, built_for = _glibc(tag) or ("", "")
    if built_for == machine and compare_releases(required, glibc) <= 0 and compare_releases(
        required,
        _OLDEST_GLIBC[machine],
    ) >= 0:
        major, minor = required.split(".")
        return int(major), int(minor), (1 if tag.startswith("manylinux_") else 0)
    return (0, 0, 0) if tag == "linux_" + machine else None

def _macos(tag):
    """Returns the macOS version and the machine in a platform tag for macOS, or None for other tags."""
    parts = tag.split("_", 3)
    if parts[0] != "macosx" or len(parts) != 4 or not parts[1].isdigit() or not parts[2].isdigit():
        return None
    return parts[1] + "." + parts[2], parts[3]

def _macos_rank(tag, machine, macos):
    required, built_for = _macos(tag) or ("", "")
    if built_for not in _MACOS_MACHINES[machine]:
        return None
    major, minor = [int(part) for part in required.split(".")]
    newest, _, update = macos.partition(".")
    if major == 10:
        # For Apple processors, tags for versions before macOS 11 are only compatible if the wheel supports several
        # architectures.
        known = built_for == "universal2" or machine == "x86_64"
        last = int(update or "0") if newest == "10" and machine == "x86_64" else _MACOS_10_NEWEST
        if not known or minor < _OLDEST_MACOS_10 or minor > last:
            return None
    elif minor or major < 11 or major > int(newest):
        # Since macOS 11, the first number is the version. Installers support only 0 as the second number.
        return None
    return major, minor, -_MACOS_MACHINES[machine].index(built_for)

def _platform_rank(tag, platform, glibc, macos):
    """Returns three numbers that are larger for platform tags that require a newer system.

    Returns None for an incompatible tag.
    """
    if tag == "any":
        return 0, 0, 0
    if platform.startswith("linux_"):
        return _linux_rank(tag, MACHINES[platform], glibc)
    return _macos_rank(tag, MACHINES[platform], macos)

def _rank(wheel, platform, python_version, glibc, macos):
    """Returns the highest rank of a wheel's tags, followed by its build tag, or None for an incompatible wheel."""
    best = None
    for tag in wheel.platforms if wheel.is_known else []:
        platform_rank = _platform_rank(tag, platform, glibc, macos)
        for python in wheel.pythons if platform_rank else []:
            for abi in wheel.abis:
                close = _python_rank(python, abi, tag == "any", python_version)
                if close and (not best or close + platform_rank > best):
                    best = close + platform_rank
    return (best, wheel.build) if best else None

def oldest_compatible_system(filenames, platform, python_version):
    """Returns the oldest glibc or macOS version (`X.Y`) with which a wheel of a release is compatible, or None."""
    version_of = _macos if platform.startswith("darwin_") else _glibc
    oldest = None
    for filename in filenames:
        tags = parse_wheel_name(filename).platforms if filename.endswith(".whl") else []
        for version, _ in [version_of(tag) for tag in tags if version_of(tag)]:
            newer = oldest and compare_releases(version, oldest) >= 0
            if not newer and best_wheel([filename], platform, python_version, version, version):
                oldest = version
    return oldest

def best_wheel(filenames, platform, python_version, glibc = DEFAULT_GLIBC, macos = DEFAULT_MACOS):
    """Returns the name of the wheel of a release that an installer would select, or None.

    `glibc` and `macos` are the newest to require.
    """
    best, best_rank = None, None
    for filename in sorted(filenames):
        if not filename.endswith(".whl"):
            continue
        rank = _rank(parse_wheel_name(filename), platform, python_version, glibc, macos)
        if rank and (not best or rank > best_rank):
            best, best_rank = filename, rank
    return best
