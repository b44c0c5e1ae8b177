"""Validates settings of `bento.pypi` before repositories are declared."""

load("//private:versions.bzl", "PLATFORMS", "PYTHON_VERSIONS")

def settings_problem(tag):
    """Returns an error if an attribute of a `bento.pypi` tag has an invalid value, or None."""
    problem = _list_problem("platforms", tag.platforms, PLATFORMS) or _list_problem(
        "more_python_versions",
        tag.more_python_versions,
        PYTHON_VERSIONS,
    )
    parts = tag.python_version.split(".")
    if tag.python_version and (len(parts) not in (2, 3) or not all([part.isdigit() for part in parts])):
        problem = problem or "invalid python_version \"{}\". Use X.Y, such as \"3.12\".".format(tag.python_version)
    for attribute, example in {"glibc": "2.28", "macos": "14.0"}.items():
        parts = getattr(tag, attribute).split(".")
        if len(parts) != 2 or not all([part.isdigit() for part in parts]):
            problem = problem or "invalid {} \"{}\". Use X.Y, such as \"{}\".".format(
                attribute,
                getattr(tag, attribute),
                example,
            )
    return problem

def _list_problem(attribute, values, valid):
    for at, value in enumerate(values):
        if value not in valid:
            return "{} contains the unknown value \"{}\". Valid values: {}.".format(attribute, value, ", ".join(valid))
        if value in values[:at]:
            return "{} contains \"{}\" twice. Remove the duplicate.".format(attribute, value)
    return None

def known_record_mismatches(tag, lock):
    """Returns `allow_record_mismatch` of a tag as a struct of `wheels` and `problem`.

    `wheels` maps packages to SHA-256 hashes. `problem` is an error, or None.
    """
    files = {}
    for package in lock["packages"]:
        files.setdefault(package["name"], {}).update(package["files"])
    wheels = {}
    for key, hashes in tag.allow_record_mismatch.items():
        name = _normalized(key)
        problem = _record_problem(files.get(name), hashes)
        if problem:
            return struct(problem = "allow_record_mismatch has {}{}".format(key, problem), wheels = {})
        wheels.setdefault(name, []).extend([digest.removeprefix("sha256:") for digest in hashes])
    return struct(problem = None, wheels = wheels)

def _record_problem(files, hashes):
    if files == None:
        return ", which isn't in the lock. Remove the entry, or correct the name."
    if not hashes:
        return " without a hash. Add the hash of the wheel from the error of the build."
    locked = ["sha256:" + sha256 for file, sha256 in files.items() if file.endswith(".whl")]
    for digest in hashes:
        if digest not in locked:
            return (" with {}, but the lock contains no wheel of the package with this hash (sha256:<hex>). Remove " +
                    "the hash, and build again: " +
                    "the RECORD of the wheel in the lock might be correct.").format(digest)
    return None

def known_excludes(tag, lock):
    """Validates and decodes `exclude` and `exclude_presets` of a tag.

    Args:
      tag: a `bento.pypi` tag.
      lock: the decoded lock.

    Returns:
      A struct of `own` (dict of (normalized package name, platform) to a list of patterns), `preset` (dict of
      normalized package name to a
      list of patterns), and `problem` (an error, or None).
    """
    names = {package["name"]: True for package in lock["packages"]}
    platforms = tag.platforms or PLATFORMS
    own = {}
    for key, patterns in tag.exclude.items():
        package, at, platform = key.partition("@")
        name = _normalized(package)
        problem = _exclude_problem(name in names, patterns)
        if at and platform not in platforms:
            problem = ", but the package hub isn't for this platform. Valid values: {}.".format(", ".join(platforms))
        if problem:
            return _no_excludes("exclude has {}{}".format(key, problem))
        for one in [platform] if at else platforms:
            own.setdefault((name, one), []).extend(patterns)
    preset = {}
    for selected in tag.exclude_presets:
        problem = _preset_problem(selected, names)
        if problem:
            return _no_excludes("exclude_presets has \"{}\", {}".format(selected, problem))
        for name, patterns in _EXCLUDE_PRESETS[selected].items():
            preset.setdefault(name, []).extend(patterns)
    return struct(own = own, preset = preset, problem = None)

def _no_excludes(problem):
    return struct(own = {}, preset = {}, problem = problem)

def _exclude_problem(is_locked, patterns):
    if not is_locked:
        return ", which isn't in the lock. Remove the entry, or correct the name."
    if not patterns:
        return " without a pattern. Add patterns of the files to exclude, or remove the entry."
    for pattern in patterns:
        if not pattern.strip() or pattern.startswith("#"):
            return " with \"{}\", which isn't a pattern. Remove the entry.".format(pattern)
    return None

def _preset_problem(selected, names):
    if selected not in _EXCLUDE_PRESETS:
        return "which is unknown. Valid values: {}.".format(", ".join(_EXCLUDE_PRESETS))
    if not [name for name in _EXCLUDE_PRESETS[selected] if name in names]:
        return "but the lock contains no package of the preset ({}). Remove the preset.".format(
            ", ".join(_EXCLUDE_PRESETS[selected]),
        )
    return None

def _normalized(name):
    """Returns the normalized name of a package (PEP 503)."""
    return "-".join([part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part])

# Values of `exclude_presets`: dicts of package name to patterns of wheel files. A pattern can match nothing in a
# release. No preset excludes files that a process reads, loads, or starts, or headers that `torch.compile` and Triton
# require.
_EXCLUDE_PRESETS = {
    # Static libraries, the protobuf compiler that built torch, and the CMake files of torch.
    "serving_torch": {"torch": ["*.a", "/torch/bin/protoc*", "/torch/share/cmake/", "/torch/test/"], "triton": ["*.a"]},
}
