"""The config and the manifest: what the base, this form of images, and a person imply. Everything else is a finding."""

import re
from collections.abc import Mapping
from typing import Any

from bento_proof.base import PATH, Base
from bento_proof.model import ENVIRONMENT, HOME, USER, Report, canonical, inside
from bento_proof.oci import MANIFEST, Image

LABEL = "org.opencontainers.image."
START = [f"/{ENVIRONMENT}/bin/python", "-I", "-S", f"/{ENVIRONMENT}/bin/entrypoint.py"]
_HISTORY = "rules_bento: "
_LAYER = re.compile(r"application/vnd\.oci\.image\.layer\.v1\.tar(\+gzip|\+zstd)?")
_CONFIG = re.compile(r"application/vnd\.oci\.image\.config\.v1\+json")
# What the first proof offers for review. Variables that select code aren't, unless it is code that is proven.
_OFFERED = {"config Cmd": list, "config WorkingDir": str, "config ExposedPorts": dict, "absent": list}
_DANGEROUS = re.compile(
    r"(?s)Env (LD_.*|PYTHON.*|BASH_ENV|ENV|GCONV_PATH|NODE_.*|RUNFILES_DIR|BENTO.*|PERL5.*|RUBYOPT|OPENSSL_.*|"
    r"JAVA_TOOL_OPTIONS|GUNICORN_CMD_ARGS|CUDA_INJECTION.*|SSL_CERT_.*)"
)
_INSIDE = re.compile(r"Env (PYTHONPATH=(?!.*/\.\.)/app(/[^:]*)?(:/app(/[^:]*)?)*|RUNFILES_DIR=/app)", re.DOTALL)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_Settings = Mapping[str, Any]
_OWN = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "UTF-8", "PYTHONUNBUFFERED": "1"}
_OWN |= {"PYTHONDONTWRITEBYTECODE": "1", "VIRTUAL_ENV": f"/{ENVIRONMENT}"}


def check(found: _Settings, expected: _Settings, stated: _Settings, report: Report, *, complete: bool) -> None:
    """Compare settings with what is implied, or stated: all if `complete`. True, which no setting has, is any value."""
    expected = {**expected, **{key: value for key, value in stated.items() if value is not True}}
    expected |= {key: found[key] for key, value in stated.items() if value is True and key in found}
    for name in sorted(expected.keys() | found.keys()):
        value, right = found.get(name), expected.get(name)
        if name == "annotation com.amazon.soci.index-digest":
            report.doubt(None, name, "describes the layers' files for lazy pulls", len(name))
        elif name not in expected and not complete and _can_be_offered(name, value):
            report.doubt(None, name, f"{value!r}: not stated", len(str(value)))
            report.expect[name] = value
        elif canonical(value) != canonical(right) or (name in found) != (name in expected):
            report.find(None, name, f"is {value!r} instead of {right!r}")


def _can_be_offered(name: str, value: object) -> bool:
    if _DANGEROUS.fullmatch(name):
        return bool(_INSIDE.fullmatch(f"{name}={value}"))
    if name == "image created":
        return bool(_TIME.fullmatch(str(value)))
    return isinstance(value, str if name.startswith(("Env ", "Labels ")) else _OFFERED.get(name, ()))


def implied(image: Image, base: Base, has_bento: bool, python: str) -> dict[str, Any]:
    """Return the settings that the base implies, the form of images, and the Python that compiled bytecode, or ""."""
    env = {"HOME": "/tmp", "USER": "bentoml"} | base.env | _OWN
    env["PATH"] = f"/{ENVIRONMENT}/bin:{base.env.get('PATH', PATH)}"
    if has_bento:
        env |= {"BENTO_PATH": f"/{HOME}/bento", "BENTOML_HOME": f"/{HOME}/", "BENTOML_CONTAINERIZED": "true"}
    labels = {f"{LABEL}base.digest": base.image.entry.digest} | ({"rules_bento.bytecode": python} if python else {})
    return {
        "manifest schemaVersion": 2,
        "manifest mediaType": MANIFEST,
        "image architecture": base.image.config.get("architecture"),
        "image os": base.image.config.get("os"),
        "image history": [],  # steps with other fields or times, or that don't name a layer
        "config User": f"{USER[0]}:{USER[1]}",
        "config Entrypoint": START,
        "config StopSignal": "SIGTERM",
        **{f"Env {name}": value for name, value in env.items()},
        **{f"Labels {name}": value for name, value in labels.items()},
        # Manifests repeat labels.
        **{f"annotation {name}": each for name, each in image.labels.items() if name.startswith(LABEL)},
    }


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a config. The first word of a name is where it is, so that none has two meanings."""
    own = dict(inside(config, "config"))
    found = {f"image {key}": value for key, value in config.items() if key not in ("config", "rootfs")}
    steps, created = config.get("history"), config.get("created")
    if isinstance(steps, list):
        names = [each.get("created_by") for each in steps if isinstance(each, dict)]
        right = [{"created": created, "created_by": name} for name in names if str(name).startswith(_HISTORY)]
        is_of_all = len(steps) == len(inside(config, "rootfs").get("diff_ids", []))
        others = [step for step in steps if step not in right]
        found["image history"] = others if is_of_all else f"of {len(steps)} layers"
    env = own.get("Env")
    if isinstance(env, list) and all(isinstance(each, str) and "=" in each for each in env):
        variables = dict(each.split("=", 1) for each in env)
        if len(variables) == len(env):  # no variable twice
            own.pop("Env")
            found |= {f"Env {name}": value for name, value in variables.items()}
    if isinstance(own.get("Labels"), dict):
        found |= {f"Labels {name}": value for name, value in own.pop("Labels").items()}
    return found | {f"config {key}": value for key, value in own.items()}


def of_manifest(image: Image, below: int) -> dict[str, Any]:
    """Return the fields of a manifest that can differ between images. `below` is the number of the base's layers."""
    found = {f"manifest {key}": each for key, each in image.manifest.items() if key not in ("config", "layers")}
    annotations = found.pop("manifest annotations", {})
    annotations = annotations if isinstance(annotations, dict) else {"": annotations}
    found |= {f"annotation {name}": each for name, each in annotations.items()}
    parts = [(f"layer{at}", each, _LAYER) for at, each in enumerate(image.manifest["layers"]) if at >= below]
    for place, entry, types in [*parts, ("descriptor", image.manifest["config"], _CONFIG)]:
        usual = {"digest", "size"} | ({"mediaType"} if types.fullmatch(entry["mediaType"]) else set())
        found |= {f"{place} {key}": each for key, each in entry.items() if key not in usual}
    return found
