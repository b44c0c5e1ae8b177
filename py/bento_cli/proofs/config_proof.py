"""Compares an image's config, manifest, and SBOMs with what its base, its sources, and the user's options imply."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.formats.oci import MANIFEST
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, Sequence

from bento_cli.proofs import own_files
from bento_cli.proofs.expected import Finding, Unproven

if TYPE_CHECKING:
    from rules_bento.images.registry.descriptor import Manifest

    from bento_cli.proofs.image_source import ImageSource
    from bento_cli.sharing.native_base import BaseImageContents

_SOCI = "com.amazon.soci.index-digest"
ANNOTATION = "org.opencontainers.image."
_LAYER = re.compile(r"application/vnd\.oci\.image\.layer\.v1\.tar(\+gzip|\+zstd)?")
_CONFIG = re.compile(r"application/vnd\.oci\.image\.config\.v1\+json")
_TOP = {"created", "architecture", "os", "config", "rootfs", "history"}
_SETTINGS = {"User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "WorkingDir", "Labels", "StopSignal"}
_DANGEROUS = re.compile(r"LD_.*|PYTHON.*|PATH|BASH_ENV|ENV|GCONV_PATH|NODE_.*|RUNFILES_DIR|BENTO.*")
_INSIDE = {"PYTHONPATH": re.compile(r"(/app(/[^:]*)?)(:/app(/[^:]*)?)*"), "RUNFILES_DIR": re.compile("/app")}
_NOTHING = re.compile(r"(?!)")
_USER = {"HOME": "/tmp", "USER": "bentoml"}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
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
    command: tuple[str, ...] | None = None  # after the program that starts it; None: unknown
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


def check_manifest(manifest: Manifest, below: int) -> list[Finding]:
    """Return what a manifest has that images of rules_bento don't have, above the `below` layers of its base."""
    document = manifest.document
    known = {"schemaVersion", "mediaType", "config", "layers", "annotations"}
    found = [
        Finding(None, f"manifest.{key}", "isn't a field of such images") for key in sorted(document.keys() - known)
    ]
    for key, value in (("schemaVersion", 2), ("mediaType", MANIFEST)):
        if document.get(key) != value:
            found.append(Finding(None, f"manifest.{key}", f"is {document.get(key)!r} instead of {value!r}"))
    named = [("layers", each, _LAYER) for each in document.get("layers", ())]
    for position, (key, entry, types) in enumerate([*named, ("config", document["config"], _CONFIG)]):
        known = {"mediaType", "digest", "size", *(["annotations"] if position < below else [])}
        others = sorted(entry.keys() - known)
        found += [Finding(None, f"manifest.{key}.{other}", "selects other contents") for other in others]
        if not types.fullmatch(entry.get("mediaType", "")):
            found.append(Finding(None, f"manifest.{key}", f"has the type {entry.get('mediaType')}"))
    return found


def check_config(
    source: ImageSource,
    base: BaseImageContents,
    claims: Claims,
    unproven: list[Unproven],
    has_bytecode: bool,
) -> list[Finding]:
    """Return the differences of a config, and add settings that nothing implies to `unproven`."""
    return [*_Config(source, base, claims, unproven, has_bytecode).findings()]


class _Config:
    """Compares one config."""

    def __init__(
        self, source: ImageSource, base: BaseImageContents, claims: Claims, unproven: list[Unproven], has_bytecode: bool
    ) -> None:
        self._source, self._base, self._claims = source, base, claims
        self._unproven, self._has_bytecode = unproven, has_bytecode

    def findings(self) -> Iterator[Finding]:
        config, platform = self._source.config, self._base.image.config
        settings = config.get("config")
        if not isinstance(settings, dict):
            yield Finding(None, "config", "is missing")
            return
        for key in sorted((config.keys() - _TOP) | (settings.keys() - _SETTINGS)):
            yield Finding(None, key, "isn't a setting of such images")
        expected = {
            "architecture": (config, platform["architecture"]),
            "os": (config, platform["os"]),
            "User": (settings, f"{own_files.OWNER[0]}:{own_files.OWNER[1]}"),
            "StopSignal": (settings, "SIGTERM"),
        }
        own: dict[str, tuple[dict[str, Any], Any]] = {
            "WorkingDir": (settings, self._claims.working_dir),
            "ExposedPorts": (settings, {port: {} for port in self._claims.ports} or None),
            "created": (config, self._claims.created),
        }
        if self._claims.is_complete:
            expected |= own
        else:
            for key, (where, _) in own.items():
                self._unknown(key, where.get(key))
        yield from self._history(config)
        for key, (where, value) in expected.items():
            if where.get(key) != value:
                yield Finding(None, key, f"is {where.get(key)!r} instead of {value!r}")
        yield from self._command(settings.get("Entrypoint"), settings.get("Cmd", []))
        yield from self._variables(settings.get("Env"))
        yield from self._labels(settings.get("Labels"))

    def _history(self, config: Mapping[str, Any]) -> Iterator[Finding]:
        steps, names = config.get("history"), {"created", "created_by"}
        if not isinstance(steps, list) or len(steps) != len(diff_ids(config)):
            yield Finding(None, "history", "doesn't have one step for each layer")
        elif not all(isinstance(step, dict) and step.keys() == names for step in steps):
            yield Finding(None, "history", "has other fields than the time and the name of layers")

    def _command(self, words: object, arguments: object) -> Iterator[Finding]:
        start, command = [*own_files.START], self._claims.command
        if not isinstance(words, list) or not isinstance(arguments, list) or words[: len(start)] != start:
            yield Finding(None, "Entrypoint", f"is {words!r}, which doesn't begin with {start!r}")
            return
        found = words[len(start) :] + arguments
        if command is None:
            self._unknown("Entrypoint", found)
        elif found != [*command]:
            yield Finding(None, "Entrypoint", f"runs {found!r} instead of {[*command]!r}")

    def _variables(self, listed: object) -> Iterator[Finding]:
        if not isinstance(listed, list) or not all(isinstance(each, str) and "=" in each for each in listed):
            yield Finding(None, "Env", "isn't a list of variables")
            return
        found = dict(each.split("=", 1) for each in listed)
        if len(found) != len(listed):
            yield Finding(None, "Env", "sets a variable twice")
        inherited = dict(self._base.image.config.get("env", {}))
        path = f"/{own_files.ENVIRONMENT}/bin:{inherited.pop('PATH', _PATH)}"
        claims = self._claims
        own = {**_OWN, "PATH": path}
        if claims.directory:
            home = f"/{own_files.HOME}"
            own |= {"BENTO_PATH": claims.directory, "BENTOML_HOME": f"{home}/", "BENTOML_CONTAINERIZED": "true"}
        expected = _USER | inherited | own | {**claims.env}
        for name in sorted(expected.keys() | found.keys()):
            if found.get(name) == expected.get(name):
                continue
            inside = _INSIDE.get(name, _NOTHING)
            is_harmless = not _DANGEROUS.fullmatch(name) or inside.fullmatch(found.get(name, ""))
            is_unknown = name not in expected and not claims.is_complete and is_harmless
            if is_unknown:
                self._unknown(f"Env {name}", found[name])
            else:
                yield Finding(None, f"Env {name}", f"is {found.get(name)!r} instead of {expected.get(name)!r}")

    def _labels(self, found: object) -> Iterator[Finding]:
        found = {} if found is None else found
        if not isinstance(found, dict):
            yield Finding(None, "Labels", "isn't an object")
            return
        expected = {f"{ANNOTATION}base.digest": self._base.image.digest, **self._claims.labels}
        if self._base.origin:
            expected[f"{ANNOTATION}base.name"] = self._base.origin
        if self._has_bytecode:
            expected["rules_bento.bytecode"] = self._base.python_release
        annotations = self._source.manifest.descriptor.annotations
        for name in sorted(expected.keys() | found.keys()):
            if name not in expected and not self._claims.is_complete:
                self._unknown(f"Labels {name}", found[name])
            elif found.get(name) != expected.get(name):
                yield Finding(None, f"Labels {name}", f"is {found.get(name)!r} instead of {expected.get(name)!r}")
        for name in sorted(annotations.keys() | {each for each in found if each.startswith(ANNOTATION)}):
            if name == _SOCI:
                reason = "describes the layers' files for lazy pulls"
                self._unproven.append(Unproven(None, f"manifest.annotations {name}", len(name), reason))
            elif annotations.get(name) != found.get(name):
                yield Finding(None, f"manifest.annotations {name}", "isn't the label of the config")

    def _unknown(self, setting: str, value: object) -> None:
        self._unproven.append(Unproven(None, setting, len(str(value)), f"{value!r}: the sources aren't known"))


def check_sboms(sboms: Sequence[Mapping[str, Any]], wheels: Iterable[tuple[str, str, str]], base: str) -> list[Finding]:
    """Return the packages and bases of SBOMs that the image doesn't have, and those that the SBOMs lack.

    `wheels` has their names, versions, and SHA-256, and `base` is the digest of the base.
    """
    known = {}
    for name, version, sha256 in wheels:
        purl, hashes = f"pkg:pypi/{quote(name)}@{quote(version)}", [{"alg": "SHA-256", "content": sha256}]
        known[_key(purl, name, version, hashes)] = f"{name} {version}"
    found = []
    for document in sboms:
        components = document.get("components")
        listed = {}
        for each in components if isinstance(components, list) else ():
            get = each.get if isinstance(each, dict) else {}.get
            fields = [get(name) for name in ("purl", "name", "version", "hashes")]
            if str(fields[0]).startswith("pkg:pypi/"):
                listed[_key(*fields)] = f"{fields[1]} {fields[2]}"
            elif str(fields[0]).startswith("pkg:oci/") and fields[2] != base:
                found.append(Finding(None, "SBOM", f"lists the base {fields[2]} instead of {base}"))
        others = sorted(listed[key] for key in listed.keys() - known.keys())
        found += [Finding(None, "SBOM", f"lists {text}, which the image doesn't have so") for text in others]
        lacking = sorted(known[key] for key in known.keys() - listed.keys())
        found += [Finding(None, "SBOM", f"lists no {text} as in the image") for text in lacking]
    return found


def _key(*fields: object) -> str:
    return json.dumps(fields, sort_keys=True)
