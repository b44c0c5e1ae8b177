"""Determines how `bento_requirements` treats each key of `[tool.uv]` in a pyproject.toml.

A setting that changes the lock is copied to the project that uv locks, must be an attribute of the target, or is an
error. An index is never copied, because uv would send the credentials of an index with this name to its URL.
tests/packages/test_uv_settings.py compares the tables with the keys of the locked version of uv.
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file, schema
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.typing_lite import Any, Iterable, Mapping, Sequence
from rules_bento.bentos.packages.indexes import Indexes, reject_credentials, split_index
from rules_bento.bentos.packages.platforms import PLATFORMS, supported_targets
from rules_bento.bentos.packages.requirement_syntax import Line, normalize_name

# Copied to the project that uv locks. Values are types.
COPIED: dict[str, Any] = {
    "exclude-newer": str,
    "exclude-newer-package": dict,
    "fork-strategy": str,
    "index-strategy": str,
    "no-build": bool,
    "no-build-package": [str],
    "prerelease": str,
    "prerelease-package": {...: str},
    "required-environments": [str],
    "resolution": str,
}
# `requirement_files` reads them, and adds requirements.
READ = {
    "conflicts?": [[{"extra?": str, "group?": str}]],
    "constraint-dependencies?": [str],
    "override-dependencies?": [str],
    "sources?": dict,
}
# Attributes of the target must have the same values.
_INDEX = {"name?": str, "url": str, "default?": bool, "explicit?": bool}
REQUIRED_IN_TARGET = {
    "environments?": [str],
    "extra-index-url?": [str],
    "find-links?": [str],
    "index?": [_INDEX],
    "index-url?": str,
    "no-index?": bool,
}
OF_MACHINE = (
    *("allow-insecure-host", "cache-dir", "http-proxy", "https-proxy", "keyring-provider", "native-tls", "no-proxy"),
    *("offline", "system-certs"),
)
"""Settings that only the user chooses, because they decide who gets logins."""
# Ignored, because the keys don't change which versions a lock contains: they are for other commands, select the program
# that locks, or are settings of the machine, which a project can't change.
IGNORED = (
    *("add-bounds", "audit", "build-backend", "cache-keys", "check-url", "compile-bytecode", "default-groups", "pip"),
    *("link-mode", "managed", "package", "publish-url", "reinstall", "reinstall-package", "trusted-publishing"),
    *("graalpy-install-mirror", "preview", "preview-features", "pypy-install-mirror", "pyodide-install-mirror"),
    *("python-downloads", "python-downloads-json-url", "python-install-mirror", "python-preference"),
    *("required-version", "concurrent-builds", "concurrent-downloads"),
    *("concurrent-installs", "no-cache"),
    *OF_MACHINE,
)
_UV_LOCK = "Run `uv lock`, and use uv.lock as the lock of bento.pypi."
# Errors, with their remedies.
UNSUPPORTED = {
    **dict.fromkeys(
        (
            *("build-constraint-dependencies", "config-settings", "config-settings-package", "dependency-groups"),
            *("dependency-metadata", "exclude-dependencies", "extra-build-dependencies", "extra-build-variables"),
            *("minimum-libc-version", "no-binary", "no-binary-package", "no-build-isolation"),
            *("no-build-isolation-package", "no-sources", "no-sources-package", "require-build-hashes"),
            *("torch-backend", "workspace"),
        ),
        _UV_LOCK,
    ),
    "dev-dependencies": "Move the requirements to dependency-groups.dev.",
    "upgrade": "Remove the key, and upgrade with `-- --upgrade`.",
    "upgrade-package": "Remove the key, and upgrade with `-- --upgrade-package`.",
}
# Keys of an index that don't change which files it serves.
_IGNORED_INDEX_KEYS = frozenset({"authenticate", "cache-control", "publish-url"})
_WORKSPACE = {"tool?": {"uv?": {"workspace?": {"members?": [str]}}}}
_KNOWN = {f"{key}?": kind for key, kind in COPIED.items()} | READ


class TargetSetting(NamedTuple):
    """A value that an attribute of the target of a pyproject.toml must have."""

    place: str  # for the beginning of a message
    attribute: str  # such as `indexes`
    value: str  # a URL, `PACKAGE=URL` for `explicit`, or the supported platforms
    shown: str  # the attribute with the value, in the syntax of a BUILD file


def copied_settings(uv: Mapping[str, Any], place: str) -> dict[str, str]:
    """Return the settings to copy as a mapping of key to TOML value. Raises BentoError for an unsupported key."""
    uv = {key: [value] if COPIED.get(key) == [str] and isinstance(value, str) else value for key, value in uv.items()}
    schema.validate(uv, _KNOWN, f"{place}: tool.uv", "Check the file with `uv lock --check`.")
    settings = {}
    for key, value in uv.items():
        if key in COPIED and value not in (False, [], {}):
            settings[key] = to_toml(value, f"{place}: tool.uv.{key}")
        elif key in IGNORED or f"{key}?" in READ | REQUIRED_IN_TARGET or key in COPIED:
            continue
        elif key not in UNSUPPORTED or value not in (False, [], {}):
            problem = f"bento_requirements doesn't support tool.uv.{key}"
            raise BentoError(problem, place=place, remedy=UNSUPPORTED.get(key, _UV_LOCK))
    return settings


def to_toml(value: Any, place: str) -> str:
    """Return a string, a boolean, a list of values, or a mapping of names to values as TOML."""
    if isinstance(value, list):
        return f"[{', '.join(to_toml(item, place) for item in value)}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{to_toml(key, place)} = {to_toml(item, place)}' for key, item in value.items())} }}"
    if not isinstance(value, bool) and not (isinstance(value, str) and re.fullmatch(r"[ -~]*", value)):
        raise BentoError(f"unsupported value {value!r}", place=place, remedy="Use strings of ASCII characters.")
    return json.dumps(value)


def binary_settings(options: Iterable[Line]) -> dict[str, str]:
    """Return the values of `--only-binary` in requirements files as settings. As in uv, `:none:` has no effect."""
    names = {name.strip() for option in options for name in option.value.split(",")} - {":none:"}
    if ":all:" in names:
        return {"no-build": "true"}
    return {"no-build-package": json.dumps(sorted(map(normalize_name, names)))} if names else {}


def target_settings(uv: Mapping[str, Any], place: str) -> list[TargetSetting]:
    """Return the settings that the target must have. Raises BentoError for an unsupported or invalid setting."""
    environments = uv.get("environments", [])
    environments = [environments] if isinstance(environments, str) else environments
    uv, place = {**uv, "environments": environments}, f"{place}: tool.uv"
    schema.validate(uv, REQUIRED_IN_TARGET, place, "Check the file with `uv lock --check`.")
    found = [("index-url", "index_url", "", url) for url in [uv.get("index-url")] if url]
    found += [("extra-index-url", "indexes", "", url) for url in uv.get("extra-index-url", [])]
    found += [("find-links", "find_links", "", link) for link in uv.get("find-links", [])]
    for index in uv.get("index", []):
        unknown = sorted(index.keys() - {key.removesuffix("?") for key in _INDEX} - _IGNORED_INDEX_KEYS)
        if unknown:
            problem = f"bento_requirements doesn't support {unknown[0]} of an index"
            raise BentoError(problem, place=f"{place}.index", remedy=_UV_LOCK)
        if index.get("default"):
            found.append(("index", "index_url", "", index["url"]))
        elif not index.get("explicit"):
            found.append(("index", "indexes", f"{index['name']}=" if "name" in index else "", index["url"]))
    settings = []
    for key, attribute, name, url in found:
        reject_credentials(url, f"{place}.{key}")
        shown = f'index_url = "{url}"' if attribute == "index_url" else f'{attribute} = ["{name}{url}"]'
        settings.append(TargetSetting(f"{place}.{key}", attribute, url.rstrip("/"), shown))
    if uv.get("no-index"):
        settings.append(TargetSetting(f"{place}.no-index", "no_index", "True", "no_index = True"))
    if environments:
        platforms = _platforms(environments, f"{place}.environments")
        shown = f"platforms = {json.dumps(platforms)}"
        settings.append(TargetSetting(f"{place}.environments", "platforms", " ".join(platforms), shown))
    return settings


def _platforms(environments: Iterable[str], place: str) -> list[str]:
    """Return the platforms of package hubs in `environments`. Raises BentoError if there is none."""
    try:
        platforms = sorted({platform for platform, _ in supported_targets(environments)})
    except ValueError as error:
        raise BentoError(str(error).partition("\n")[0], place=place, remedy="Correct the marker.") from None
    if not platforms:
        raise BentoError("no environment is Linux or macOS", place=place, remedy="Add such an environment.")
    return platforms


def explicit_setting(package: str, index: str, uv: Mapping[str, Any], place: str) -> TargetSetting:
    """Return the setting for a package whose source in `tool.uv.sources` is the index `index`."""
    url = next((each["url"] for each in uv.get("index", []) if each.get("name") == index), "")
    reject_credentials(url, f"{place}: tool.uv.index")
    shown = f'explicit = {{"{package}": "{index}"}}' + (f' and indexes = ["{index}={url}"]' if url else "")
    return TargetSetting(f"{place}: tool.uv.sources", "explicit", f"{package}={url.rstrip('/')}", shown)


def settings_file(root: Path, name: str) -> str:
    """Return the path of the file from which uv gets the settings of the project file `name`, or an empty string.

    A uv.toml replaces `tool.uv`. The settings of a workspace's root replace the settings of its members. A project
    without settings has the settings of its parent directory. Paths are relative to `root` of the source tree.
    """
    found = ""
    for directory in PurePosixPath(name).parents:
        project = directory / "pyproject.toml"
        content = read_file(root / project, str(project)) if (root / project).is_file() else b""
        document = read_toml(content, str(project))
        schema.validate(document, _WORKSPACE, str(project), "See uv's documentation of workspaces.")
        uv = document.get("tool", {}).get("uv", {})
        members = uv.get("workspace", {}).get("members", [])
        path = str(PurePosixPath(name).parent.relative_to(directory))
        if found and not any(fnmatch(path, str(pattern)) for pattern in members):
            continue
        if (root / directory / "uv.toml").is_file():
            found = str(directory / "uv.toml")
        elif uv:
            found = str(project)
    return found


def check_target(required: Iterable[TargetSetting], indexes: Indexes, platforms: Sequence[str]) -> None:
    """Raise BentoError for the first setting of a pyproject.toml that the target doesn't have."""
    named = {name: url.rstrip("/") for name, url in map(split_index, indexes.extra)}
    values = {
        "find_links": [link.rstrip("/") for link in indexes.find_links],
        "index_url": [indexes.default.rstrip("/")],
        "indexes": [split_index(entry)[1].rstrip("/") for entry in indexes.extra],
        "no_index": ["True"] * indexes.no_index,
        "explicit": [f"{normalize_name(package)}=" for package in indexes.explicit],
    }
    values["explicit"] += [f"{normalize_name(name)}={named.get(index)}" for name, index in indexes.explicit.items()]
    for setting in required:
        if setting.attribute == "platforms":
            has_setting = set(platforms or PLATFORMS) <= set(setting.value.split())
        else:
            has_setting = setting.value in values[setting.attribute]
        if not has_setting:
            remedy = f"Set {setting.shown} in the target and in bento.pypi."
            raise BentoError("bento_requirements doesn't read this setting", place=setting.place, remedy=remedy)
        if setting.attribute == "indexes":  # uv searches indexes in their order
            values["indexes"] = values["indexes"][values["indexes"].index(setting.value) + 1 :]
