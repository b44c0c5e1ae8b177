"""Validates the settings of a package hub (`bento.pypi`), and applies them to the packages of a lock."""

from __future__ import annotations

import re

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Any, Iterable, Mapping, Sequence
from rules_bento.bentos.packages.platforms import PLATFORMS, PYTHON_VERSIONS
from rules_bento.bentos.packages.requirement_syntax import normalize_name

# Values of `exclude_presets`: from packages to patterns of wheel files. A pattern can match nothing in a release. No
# preset excludes files that a process reads, loads, or starts, or headers that `torch.compile` and Triton require.
_EXCLUDE_PRESETS = {
    # Static libraries, the protobuf compiler that built torch, and the CMake files of torch.
    "serving_torch": {"torch": ["*.a", "/torch/bin/protoc*", "/torch/share/cmake/", "/torch/test/"], "triton": ["*.a"]}
}
_VERSIONS = {"python_version": r"\d+\.\d+(\.\d+)?", "glibc": r"\d+\.\d+", "macos": r"\d+\.\d+"}
_EXAMPLES = {"python_version": "3.12", "glibc": "2.28", "macos": "14.0"}
_INVALID = 2  # exit status: not an error of the lock
_NOT_LOCKED = ", which isn't in the lock. Remove the entry, or correct the name."


def check(settings: Mapping[str, Any]) -> None:
    """Raise BentoError if a platform or version in the settings of a hub is invalid."""
    for attribute, valid in (("platforms", PLATFORMS), ("more_python_versions", PYTHON_VERSIONS)):
        values = settings[attribute]
        for value in values:
            if value not in valid:
                raise _error(f'{attribute} contains the unknown value "{value}". Valid values: {", ".join(valid)}.')
            if values.count(value) > 1:
                raise _error(f'{attribute} contains "{value}" twice. Remove the duplicate.')
    for attribute, pattern in _VERSIONS.items():
        if not re.fullmatch(pattern, settings[attribute], re.ASCII):
            example = _EXAMPLES[attribute]
            raise _error(f'invalid {attribute} "{settings[attribute]}". Use X.Y, such as "{example}".')


def wheel_settings(settings: Mapping[str, Any], packages: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the settings of wheels by package: `allow_record_mismatch`, `exclude` by platform, and `exclude_preset`.

    Raises BentoError for a setting that applies to nothing in the lock.
    """
    hashes: dict[str, set[str]] = {}
    for package in packages:
        wheels = {sha256 for file, sha256 in package["files"].items() if file.endswith(".whl")}
        hashes.setdefault(package["name"], set()).update(wheels)
    found: dict[str, dict[str, Any]] = {name: {} for name in hashes}
    for key, digests in settings["allow_record_mismatch"].items():
        name = normalize_name(key)
        _check_hashes(f"allow_record_mismatch has {key}", hashes.get(name), digests)
        found[name].setdefault("allow_record_mismatch", []).extend(each.removeprefix("sha256:") for each in digests)
    platforms = settings["platforms"] or PLATFORMS
    for key, patterns in settings["exclude"].items():
        project, at, platform = key.partition("@")
        name = normalize_name(project)
        if at and platform not in platforms:
            problem = f", but the package hub isn't for this platform. Valid values: {', '.join(platforms)}."
            raise _error(f"exclude has {key}{problem}")
        _check_patterns(f"exclude has {key}", patterns, is_locked=name in found)
        for each in [platform] if at else platforms:
            found[name].setdefault("exclude", {}).setdefault(each, []).extend(patterns)
    for preset in settings["exclude_presets"]:
        if preset not in _EXCLUDE_PRESETS:
            valid = ", ".join(_EXCLUDE_PRESETS)
            raise _error(f'exclude_presets has "{preset}", which is unknown. Valid values: {valid}.')
        names = [name for name in _EXCLUDE_PRESETS[preset] if name in found]
        if not names:
            problem = f"but the lock contains no package of the preset ({', '.join(_EXCLUDE_PRESETS[preset])})"
            raise _error(f'exclude_presets has "{preset}", {problem}. Remove the preset.')
        for name in names:
            found[name].setdefault("exclude_preset", []).extend(_EXCLUDE_PRESETS[preset][name])
    return {name: values for name, values in found.items() if values}


def _check_hashes(place: str, locked: set[str] | None, digests: Sequence[str]) -> None:
    if locked is None:
        raise _error(f"{place}{_NOT_LOCKED}")
    if not digests:
        raise _error(f"{place} without a hash. Add the hash of the wheel from the error of the build.")
    for digest in digests:
        if digest not in {f"sha256:{sha256}" for sha256 in locked}:
            raise _error(
                f"{place} with {digest}, but the lock contains no wheel of the package with this hash (sha256:<hex>). "
                "Remove the hash, and build again: the RECORD of the wheel in the lock might be correct."
            )


def _check_patterns(place: str, patterns: Sequence[str], *, is_locked: bool) -> None:
    if not is_locked:
        raise _error(f"{place}{_NOT_LOCKED}")
    if not patterns:
        raise _error(f"{place} without a pattern. Add patterns of the files to exclude, or remove the entry.")
    for pattern in patterns:
        if not pattern.strip() or pattern.startswith("#"):
            raise _error(f'{place} with "{pattern}", which isn\'t a pattern. Remove the entry.')


def _error(message: str) -> BentoError:
    return BentoError(message, code=_INVALID)
