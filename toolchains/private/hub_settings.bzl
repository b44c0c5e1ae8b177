"""Checks a tag `bento.pypi` before anything is declared: a hub would fail far from it."""

# As //toolchains/platforms names them.
PLATFORMS = ["linux_aarch64", "linux_x86_64", "macos_arm64", "macos_x86_64"]
PYTHON_VERSIONS = ["3.10", "3.11", "3.12", "3.13", "3.14", "3.15"]

def check_hub_settings(tag):
    """Refuses names that no build can choose.

    Args:
      tag: a tag `bento.pypi`.
    """
    if tag.record_errors:
        fail("bento.pypi(name = \"{}\"): record_errors was renamed. Use allow_record_mismatch".format(tag.name))
    _check_known(tag, "platforms", tag.platforms, PLATFORMS)
    _check_known(tag, "more_python_versions", tag.more_python_versions, PYTHON_VERSIONS)
    parts = tag.python_version.split(".")
    if tag.python_version and (len(parts) not in (2, 3) or not all([part.isdigit() for part in parts])):
        fail("bento.pypi(name = \"{}\"): python_version is \"{}\": write X.Y, such as \"3.12\"".format(tag.name, tag.python_version))
    for attribute, example in {"glibc": "2.28", "macos": "14.0"}.items():
        parts = getattr(tag, attribute).split(".")
        if len(parts) != 2 or not all([part.isdigit() for part in parts]):
            fail("bento.pypi(name = \"{}\"): {} is \"{}\": write X.Y, such as \"{}\"".format(tag.name, attribute, getattr(tag, attribute), example))

def _check_known(tag, attribute, values, known):
    for at, value in enumerate(values):
        if value not in known:
            fail("bento.pypi(name = \"{}\"): {} has \"{}\", which is not known: there are {}".format(
                tag.name,
                attribute,
                value,
                ", ".join(known),
            ))
        if value in values[:at]:
            fail("bento.pypi(name = \"{}\"): {} has \"{}\" twice: leave one".format(tag.name, attribute, value))

def known_record_mismatches(tag, lock):
    """Finds which wheels of a lock are taken although their RECORD is wrong.

    Args:
      tag: a tag `bento.pypi`.
      lock: its lock, decoded.

    Returns:
      A struct of `wheels`, a dict of the names of packages, as the lock has them, to lists of SHA-256 in hexadecimal, and
      `problem`: what is wrong with the attribute and what to do, or None.
    """
    files = {}
    for package in lock["packages"]:
        files.setdefault(package["name"], {}).update(package["files"])
    wheels = {}
    for spelled, hashes in tag.allow_record_mismatch.items():
        name = _normalized(spelled)
        problem = _record_problem(files.get(name), hashes)
        if problem:
            return struct(problem = "bento.pypi(name = \"{}\"): allow_record_mismatch has {}{}".format(tag.name, spelled, problem), wheels = {})
        wheels.setdefault(name, []).extend([digest.removeprefix("sha256:") for digest in hashes])
    return struct(problem = None, wheels = wheels)

def _record_problem(files, hashes):
    if files == None:
        return ", which is not in the lock: leave it out, or correct the name"
    if not hashes:
        return " with no hash: write that of the wheel, as the message has it that refuses the wheel"
    locked = ["sha256:" + sha256 for file, sha256 in files.items() if file.endswith(".whl")]
    for digest in hashes:
        if digest not in locked:
            return (" with {}, but the lock has no wheel of it with that hash, sha256:<hex>: leave it out, and build again to see " +
                    "whether the RECORD of the wheel that is locked now is right").format(digest)
    return None

def known_excludes(tag, lock):
    """Finds which files of wheels images leave out.

    Args:
      tag: a tag `bento.pypi`.
      lock: its lock, decoded.

    Returns:
      A struct of `own`, a dict of names of packages, as the lock has them, and platforms to lists of patterns; `preset`, a dict of
      names to lists of patterns; and `problem`: what is wrong with the attributes and what to do, or None.
    """
    names = {package["name"]: True for package in lock["packages"]}
    platforms = tag.platforms or PLATFORMS
    own = {}
    for spelled, patterns in tag.exclude.items():
        package, at, platform = spelled.partition("@")
        name = _normalized(package)
        problem = _exclude_problem(name in names, patterns)
        if at and platform not in platforms:
            problem = ", whose platform is none of the hub's: {}".format(", ".join(platforms))
        if problem:
            return _no_excludes("bento.pypi(name = \"{}\"): exclude has {}{}".format(tag.name, spelled, problem))
        for one in [platform] if at else platforms:
            own.setdefault((name, one), []).extend(patterns)
    preset = {}
    for chosen in tag.exclude_presets:
        problem = _preset_problem(chosen, names)
        if problem:
            return _no_excludes("bento.pypi(name = \"{}\"): exclude_presets has \"{}\", {}".format(tag.name, chosen, problem))
        for name, patterns in EXCLUDE_PRESETS[chosen].items():
            preset.setdefault(name, []).extend(patterns)
    return struct(own = own, preset = preset, problem = None)

def _no_excludes(problem):
    return struct(own = {}, preset = {}, problem = problem)

def _exclude_problem(is_locked, patterns):
    if not is_locked:
        return ", which is not in the lock: leave it out, or correct the name"
    if not patterns:
        return " with no pattern: write which files images leave out, or leave it out"
    for pattern in patterns:
        if not pattern.strip() or pattern.startswith("#"):
            return " with \"{}\", which is no pattern: leave it out".format(pattern)
    return None

def _preset_problem(chosen, names):
    if chosen not in EXCLUDE_PRESETS:
        return "which is not known: there are {}".format(", ".join(EXCLUDE_PRESETS))
    if not [name for name in EXCLUDE_PRESETS[chosen] if name in names]:
        return "of which the lock has no package ({}): leave it out".format(", ".join(EXCLUDE_PRESETS[chosen]))
    return None

def _normalized(name):
    """Returns the name of a package as locks have it (PEP 503)."""
    return "-".join([part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part])

# By name the packages, and patterns of their files. A pattern may match nothing in a release. What a process reads, loads or
# starts is in none of them, nor what `torch.compile` and Triton compile with: headers are left where they are.
EXCLUDE_PRESETS = {
    # Static libraries, a compiler of protobuf that torch was built with, and what CMake is told of torch.
    "serving_torch": {
        "torch": ["*.a", "/torch/bin/protoc*", "/torch/share/cmake/", "/torch/test/"],
        "triton": ["*.a"],
    },
}

_ABSENT_REQUIREMENTS = '''\
"""The lock of these packages is not there yet."""

all_requirements = []

def requirement(name):
    """The label of a package. Nothing is there yet, so what needs it fails when it is built, and nothing else does.

    Args:
      name: of the package, as the index or as Python spells it.

    Returns:
      A label.
    """
    return Label("//" + name.lower().replace("-", "_").replace(".", "_"))
'''

def _absent_hub_repo_impl(rctx):
    # Printed, for the error of a package of this repository is Bazel's own and says only that there is no BUILD file.
    # buildifier: disable=print
    print("\n@{}: {}".format(rctx.attr.hub, rctx.attr.problem))
    rctx.file("requirements.bzl", _ABSENT_REQUIREMENTS)
    rctx.file("BUILD.bazel", "exports_files([\"requirements.bzl\"])\n")

absent_hub_repo = repository_rule(
    implementation = _absent_hub_repo_impl,
    doc = "A hub without packages.",
    attrs = {
        "hub": attr.string(doc = "Name of the hub, as its users write it.", mandatory = True),
        "problem": attr.string(doc = "Why it has none, and what to do.", mandatory = True),
    },
    # Evaluated by each server again, so that the problem is told each time.
    local = True,
)
