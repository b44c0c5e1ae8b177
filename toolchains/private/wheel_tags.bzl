"""Which file of a release fits a Python version and platform (PEP 425, 600, 656)."""

load(":markers.bzl", "compare_releases")

# The C library that a wheel may ask for where the user sets none: that of Debian 10 and RHEL 8.
DEFAULT_GLIBC = "2.28"
_LEGACY_MANYLINUX = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}

def parse_wheel_name(filename):
    """Splits the name of a wheel.

    Args:
      filename: `name-version[-build]-python-abi-platform.whl`.

    Returns:
      A struct of name and version as written, and the lists pythons, abis and platforms.
    """
    parts = filename.removesuffix(".whl").split("-")
    if not filename.endswith(".whl") or len(parts) not in (5, 6):
        fail("'{}' is not the name of a wheel".format(filename))
    return struct(
        abis = parts[-2].split("."),
        name = parts[0],
        platforms = parts[-1].split("."),
        pythons = parts[-3].split("."),
        version = parts[1],
    )

def _python_rank(pythons, abis, python_version):
    """0 for a wheel that does not fit; more for one that is closer to the interpreter."""
    major, minor = python_version.split(".")[:2]
    native = "cp{}{}".format(major, minor)
    best = 0
    for python in pythons:
        digits = python[2:]
        if python == native and native in abis:
            best = max(best, 1000)
        elif python == native and "none" in abis:
            best = max(best, 900)
        elif python.startswith("cp" + major) and "abi3" in abis and digits[1:].isdigit() and int(digits[1:]) <= int(minor):
            best = max(best, 500 + int(digits[1:]))
        elif python.startswith("py" + major) and "none" in abis and (digits == major or (digits[1:].isdigit() and int(digits[1:]) <= int(minor))):
            best = max(best, 100 + int(digits[1:] or "0"))
    return best

def _glibc_of(tag):
    """The glibc that a Linux platform tag asks for, with the machine; None for another tag."""
    if tag.startswith("manylinux_"):
        _, major, minor, machine = tag.split("_", 3)
        return major + "." + minor, machine
    family, _, machine = tag.partition("_")
    if family in _LEGACY_MANYLINUX:
        return _LEGACY_MANYLINUX[family], machine
    return None

def _platform_rank(tag, platform, glibc):
    os, _, machine = platform.partition("_")
    if tag == "any":
        return 1
    if os == "linux":
        wanted = _glibc_of(tag)
        if wanted and wanted[1] == machine and compare_releases(wanted[0], glibc) <= 0:
            return 10 + int(wanted[0].split(".")[1])
        return 5 if tag == "linux_" + machine else 0
    if os == "macos" and tag.startswith("macosx_"):
        _, major, minor, built_for = tag.split("_", 3)
        if built_for == machine or built_for == "universal2":
            return 10 + int(major) * 20 + int(minor)
    return 0

def glibc_that_fits(filenames, platform, python_version):
    """Finds the oldest C library with which a release has a wheel.

    Args:
      filenames: names of the files of one release; what is no wheel is passed over.
      platform: `<os>_<machine>`.
      python_version: `X.Y[.Z]`.

    Returns:
      A version, `X.Y`; None where no Linux wheel fits with any.
    """
    found = None
    for filename in filenames:
        tags = parse_wheel_name(filename).platforms if filename.endswith(".whl") else []
        for version, _ in [_glibc_of(tag) for tag in tags if _glibc_of(tag)]:
            newer = found and compare_releases(version, found) >= 0
            if not newer and best_wheel([filename], platform, python_version, version):
                found = version
    return found

def best_wheel(filenames, platform, python_version, glibc = DEFAULT_GLIBC):
    """Chooses the wheel that an installer would choose.

    Args:
      filenames: names of the files of one release; what is no wheel is passed over.
      platform: `<os>_<machine>`.
      python_version: `X.Y[.Z]`.
      glibc: the newest C library on Linux that a wheel may ask for.

    Returns:
      A file name, or None where none fits.
    """
    best, best_rank = None, (0, 0)
    for filename in sorted(filenames):
        if not filename.endswith(".whl"):
            continue
        wheel = parse_wheel_name(filename)
        python = _python_rank(wheel.pythons, wheel.abis, python_version)
        here = max([_platform_rank(tag, platform, glibc) for tag in wheel.platforms])
        if python and here and (python, here) > best_rank:
            best, best_rank = filename, (python, here)
    return best
