"""Compares an image's config, manifest, and SBOMs with what its base, its sources, and the user's options imply."""

from __future__ import annotations

import json
import re
from contextlib import suppress

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.formats.oci import HISTORY, MANIFEST, SBOM_TYPES
from rules_bento.base.formats.times import normalize_time
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterable, Mapping
from rules_bento.images.signing.cosign import CYCLONEDX, SPDX

from bento_cli.proofs import own_files
from bento_cli.proofs.expected import Finding, Unproven

if TYPE_CHECKING:
    from rules_bento.images.registry.descriptor import Manifest

    from bento_cli.proofs.image_source import Attached, ImageSource
    from bento_cli.sharing.native_base import BaseImageContents

Sboms = Callable[[str, str], Iterable[Mapping[str, Any]]]
"""Returns the SBOMs that an image can have, for its digest and a form (`cyclonedx` or `spdx`)."""
Key = tuple[str, ...]
"""The place of a setting, such as `("Env", NAME)`, or `("config", SETTING)`."""
ANNOTATION = "org.opencontainers.image."
_SIGNED_SBOMS = {CYCLONEDX: "cyclonedx", SPDX: "spdx"}  # types of statements
_FORMS = {media_type: form for form, media_type in SBOM_TYPES.items()} | _SIGNED_SBOMS
# Serial number and time in both forms.
_UNCOMPARED = (("", "serialNumber"), ("metadata", "timestamp"), ("", "documentNamespace"), ("creationInfo", "created"))
_SOCI = ("manifest", "annotations", "com.amazon.soci.index-digest")
_LAYER = re.compile(r"application/vnd\.oci\.image\.layer\.v1\.tar(\+gzip|\+zstd)?")
_CONFIG = re.compile(r"application/vnd\.oci\.image\.config\.v1\+json")
_OF_SOURCES = {"Cmd": list, "WorkingDir": str, "ExposedPorts": dict}
# Variables that select code, and values that select only code that is proven apart.
_DANGEROUS = re.compile(r"LD_.*|PYTHON.*|BASH_ENV|ENV|GCONV_PATH|NODE_.*|RUNFILES_DIR|BENTO.*", re.DOTALL)
_INSIDE = re.compile(r"PYTHONPATH=(?!.*/\.\.)/app(/[^:]*)?(:/app(/[^:]*)?)*|RUNFILES_DIR=/app", re.DOTALL)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_USER = {"HOME": "/tmp", "USER": "bentoml"}
_OWN = {
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "PYTHONIOENCODING": "UTF-8",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "VIRTUAL_ENV": f"/{own_files.ENVIRONMENT}",
}


@dataclass(frozen=True)
class Claims:
    """What the sources and the user's options imply for the config.

    If they don't imply all of it, other harmless settings aren't findings, but also not proven.
    """

    is_complete: bool = False
    command: tuple[str, ...] | None = None  # that the first program starts; None: unknown
    env: Mapping[str, str] = field(default_factory=dict)  # of the project or Bento, and of the user
    labels: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = ""
    ports: tuple[str, ...] = ()
    created: str = ""
    directory: str = ""  # of a Bento


def diff_ids(config: Mapping[str, Any]) -> list[str]:
    """Return the diff IDs in a config, or []."""
    rootfs = config.get("rootfs")
    is_known = isinstance(rootfs, dict) and rootfs.keys() == {"type", "diff_ids"} and rootfs["type"] == "layers"
    found = rootfs["diff_ids"] if is_known and rootfs else None
    return [str(each) for each in found] if isinstance(found, list) else []


def check_config(
    source: ImageSource, base: BaseImageContents, claims: Claims, has_bytecode: bool
) -> tuple[list[Finding], list[Unproven]]:
    """Return the differences of a config and a manifest, and the settings that nothing implies."""
    found = _settings(source.config) | _manifest(source.manifest, len(base.image.layers))
    expected = {key: value for key, value in _expected(base, claims, has_bytecode).items() if value is not None}
    labels = [key for key in found if key[0] == "Labels" and key[1].startswith(ANNOTATION)]
    expected |= {("manifest", "annotations", key[1]): found[key] for key in labels}
    findings, unproven = [], []
    for key in sorted(expected.keys() | found.keys()):
        name, value, right = " ".join(key), found.get(key), expected.get(key)
        if key == _SOCI:
            unproven.append(Unproven(None, name, len(name), "describes the layers' files for lazy pulls"))
        elif key not in expected and not claims.is_complete and _is_of_sources(key, value):
            unproven.append(Unproven(None, name, len(str(value)), f"{value!r}: the sources aren't known"))
        elif _key(value) != _key(right) or (key in found) != (key in expected):
            findings.append(Finding(None, name, f"is {value!r} instead of {right!r}"))
    return findings, unproven


def _is_of_sources(key: Key, value: object) -> bool:
    """Return whether only the sources imply a setting, which selects no other code."""
    if key[0] == "Env":
        return not _DANGEROUS.fullmatch(key[1]) or bool(_INSIDE.fullmatch(f"{key[1]}={value}"))
    if key == ("created",):
        with suppress(ValueError):
            return bool(normalize_time(str(value)))
        return False
    return key[0] == "Labels" or (key[0] == "config" and isinstance(value, _OF_SOURCES.get(key[1], ())))


def _manifest(manifest: Manifest, below: int) -> dict[Key, Any]:
    """Return the fields of a manifest that can differ between images. `below` is the number of the base's layers."""
    apart = {"annotations", "config", "layers"}
    found: dict[Key, Any] = {("manifest", key): each for key, each in manifest.document.items() if key not in apart}
    found |= {("manifest", "annotations", name): each for name, each in manifest.descriptor.annotations.items()}
    layers = [(entry, _LAYER) for entry in manifest.document.get("layers", ())]
    for at, (entry, types) in enumerate([*layers, (manifest.document["config"], _CONFIG)]):
        known = {"digest", "size", "mediaType", *(["annotations"] if at < below else [])}
        place = f"layer {at}" if types is _LAYER else "config"
        found |= {("manifest", place, key): value for key, value in entry.items() if key not in known}
        if not types.fullmatch(entry.get("mediaType", "")):
            found["manifest", place, "mediaType"] = entry.get("mediaType")
    return found


def _settings(config: Mapping[str, Any]) -> dict[Key, Any]:
    """Return the settings of a config. Labels and variables have keys of their own."""
    own = config.get("config")
    own = {**own} if isinstance(own, dict) else {"config": own}
    found: dict[Key, Any] = {(key,): value for key, value in config.items() if key not in ("config", "rootfs")}
    steps, created = config.get("history"), config.get("created")
    if isinstance(steps, list):
        names = [each.get("created_by") for each in steps if isinstance(each, dict)]
        right = [{"created": created, "created_by": name} for name in names if str(name).startswith(HISTORY)]
        others = [step for step in steps if step not in right]
        found["history",] = others if len(steps) == len(diff_ids(config)) else f"of {len(steps)} layers"
    env, labels = own.get("Env"), own.get("Labels") or {}
    if isinstance(env, list) and all(isinstance(each, str) and "=" in each for each in env):
        variables = dict(each.split("=", 1) for each in env)
        if len(variables) == len(env):  # no variable twice
            own.pop("Env")
            found |= {("Env", name): value for name, value in variables.items()}
    if isinstance(labels, dict):
        own.pop("Labels", None)
        found |= {("Labels", name): value for name, value in labels.items()}
    return found | {("config", key): value for key, value in own.items()}


def _expected(base: BaseImageContents, claims: Claims, has_bytecode: bool) -> dict[Key, Any]:
    """Return the settings that must be there, and that mustn't (None)."""
    platform = base.image.config
    inherited = dict(platform.get("env", {}))
    path = f"/{own_files.ENVIRONMENT}/bin:{inherited.pop('PATH', _PATH)}"
    env = _USER | inherited | _OWN | {"PATH": path}
    if claims.directory:
        home = f"/{own_files.HOME}/"
        env |= {"BENTO_PATH": claims.directory, "BENTOML_HOME": home, "BENTOML_CONTAINERIZED": "true"}
    labels = {f"{ANNOTATION}base.digest": base.image.digest, **claims.labels}
    if base.origin:
        labels[f"{ANNOTATION}base.name"] = base.origin
    if has_bytecode:
        labels["rules_bento.bytecode"] = base.python_release
    return {
        ("manifest", "schemaVersion"): 2,
        ("manifest", "mediaType"): MANIFEST,
        ("architecture",): platform["architecture"],
        ("os",): platform["os"],
        ("created",): claims.created or None,
        ("history",): [],  # steps with other fields or times, or that don't name a layer
        ("config", "User"): f"{own_files.OWNER[0]}:{own_files.OWNER[1]}",
        ("config", "StopSignal"): "SIGTERM",
        ("config", "WorkingDir"): claims.working_dir or None,
        ("config", "ExposedPorts"): {port: {} for port in claims.ports} or None,
        ("config", "Entrypoint"): [*own_files.START],
        ("config", "Cmd"): [*claims.command] if claims.command else None,
        **{("Env", name): value for name, value in {**env, **claims.env}.items()},
        **{("Labels", name): value for name, value in labels.items()},
    }


def check_attached(attached: Iterable[Attached], digest: str, sboms: Sboms | None) -> list[Unproven]:
    """Return what is attached to an image, apart from one SBOM that `sboms` computes, and its signed copies.

    Without the sources, `sboms` is None.
    """
    found, has_sbom = [], False
    for each in attached:
        form, is_copy = _FORMS.get(each.kind), each.kind in _SIGNED_SBOMS
        if form is None:
            reason = "isn't an SBOM, a signature, or provenance"
        elif sboms is None:
            reason = "the sources aren't known"
        elif has_sbom and not is_copy:
            reason = "is another SBOM"
        elif _compared(each.document) not in map(_compared, sboms(digest, form)):
            reason = "isn't the SBOM that the inputs imply"
        else:
            has_sbom = has_sbom or not is_copy
            continue
        found.append(Unproven(None, f"attached {each.kind}", each.size, reason))
    return found


def _compared(document: Mapping[str, Any]) -> str:
    """Return what is compared of an SBOM: everything but its serial number and time."""
    found = {key: {**value} if isinstance(value, dict) else value for key, value in document.items()}
    for place, name in _UNCOMPARED:
        fields = found.get(place) if place else found
        if isinstance(fields, dict) and isinstance(fields.get(name), str):
            fields[name] = ""
    return _key(found)


def _key(value: object) -> str:
    """Return a string that differs for values that JSON distinguishes, such as 1 and true."""
    return json.dumps(value, sort_keys=True)
