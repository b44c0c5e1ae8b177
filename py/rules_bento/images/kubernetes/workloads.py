"""Describes the workload that Kubernetes runs for a Bento: the services, their resources, and how the image starts.

In `resources`, `cpu` is a number of cores, and `memory` is a number of GiB. Strings such as `500m` have a unit.
"""

from __future__ import annotations

import re
from fractions import Fraction

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import schema
from rules_bento.base.typing_lite import Any
from rules_bento.images import entrypoint

_CPU = re.compile(r"[0-9]+m|[0-9]+(\.[0-9]{1,3})?")
_MEMORY = re.compile(r"[0-9]+(\.[0-9]+)?([KMGTPE]i|[kMGTPE])")
_PORT = 3000  # BentoML's own
_MAX_PORT = 65535
_BENTO_PATH = "BENTO_PATH"
_LOOPBACK = re.compile(r"127\..*|::1|localhost")
_USER = re.compile(r"([0-9]+)(?::([0-9]+))?")
_METRICS = "bentoml_service"  # the default namespace of BentoML's metrics
_SERVICE = {
    "name": str,
    "dependencies?": [{"service?": str}],
    "config?": {
        "endpoints?": {"livez?": str, "readyz?": str},
        "extra_ports?": [int],
        "http?": {},
        "resources?": {"gpu_type?": str},
        "ssl?": {},
        "metrics?": {"namespace?": str},
        "traffic?": {"concurrency?": int},
    },
}
_BENTO = {
    "name": str,
    "version": str,
    "service": str,
    "entry_service?": str,
    "envs?": [{"name": str, "value?": str, "stage?": str}],
    "services?": [_SERVICE],
}
_CONFIG = {"config?": {"User?": str, "Entrypoint?": [str], "Cmd?": [str], "Env?": [str]}}


class WorkloadService(NamedTuple):
    """A service of a workload. Each service runs in its own Pods."""

    name: str
    needs: tuple[str, ...]  # names of the called services
    ports: tuple[int, ...]  # the HTTP port first
    quantities: dict[str, str]  # requests and limits
    concurrency: int | None  # concurrent requests for one Pod
    metric: str  # the metric that counts concurrent requests; empty if metrics are disabled
    gpu_type: str
    livez: str
    readyz: str


class StartupConfig(NamedTuple):
    """The settings in an image's config that determine how containers start."""

    uid: int
    gid: int | None
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    variables: dict[str, str]


class Workload(NamedTuple):
    """A Bento that Kubernetes runs from an image. The entry service is the first item of `services`."""

    name: str
    version: str
    services: tuple[WorkloadService, ...]
    required: tuple[str, ...]  # variables without a value
    image: StartupConfig


def read_workload(document: dict[str, Any], config: dict[str, Any], port: int = 0) -> Workload:
    """Return the workload for a parsed `bento.yaml` and image config. If `port` isn't 0, all services listen on `port`.

    Raises BentoError for invalid documents, and for services that must be changed before Kubernetes can run the Bento.
    """
    # Both documents can be from an imported Bento, so they are untrusted.
    document, config = schema.without_nulls(document), schema.without_nulls(config)
    schema.validate(document, _BENTO, "bento.yaml", "Build the Bento again.")
    schema.validate(config, _CONFIG, "the image's config", "Build the image again.")
    image = _image(config.get("config", {}))
    services = tuple(_service(entry, port) for entry in _reachable(document))
    required = {
        env["name"]
        for env in document.get("envs", [])
        if not env.get("value") and env.get("stage") != "build" and env["name"] not in image.variables
    }
    _check_startup(image, [service.name for service in services], port)
    return Workload(document["name"], document["version"], services, tuple(sorted(required)), image)


def _reachable(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the `services` entries of the entry service and of its direct and indirect dependencies.

    Excludes dependencies with a URL or a deployment, because they run elsewhere.
    """
    entries = {entry["name"]: entry for entry in document.get("services", [])}
    if not entries:
        problem = "the service uses the legacy API of BentoML 1.1, which doesn't describe dependencies"
        raise BentoError(problem, place=document["service"], remedy="Use @bentoml.service.")
    names = [document.get("entry_service", "")]
    for name in names:
        if name not in entries:
            problem = f"the service {name!r} is missing from services"
            raise BentoError(problem, place="bento.yaml", remedy="Build the Bento again.")
        names += [need for need in _needs(entries[name]) if need not in names]
    return [entries[name] for name in names]


def _needs(entry: dict[str, Any]) -> tuple[str, ...]:
    names = [
        dependency["service"]
        for dependency in entry.get("dependencies", [])
        if "service" in dependency and not dependency.get("url") and not dependency.get("deployment")
    ]
    return tuple(dict.fromkeys(names))


def _service(entry: dict[str, Any], port: int) -> WorkloadService:
    name, config = entry["name"], entry.get("config", {})
    where = f"service {name!r}"
    part = {key: config.get(key) or {} for key in ("endpoints", "http", "metrics", "resources", "ssl", "traffic")}
    if part["ssl"].get("enabled"):
        raise BentoError(
            "ssl is enabled, but the Pods have no key files",
            place=where,
            remedy="Remove ssl, and encrypt the traffic with an ingress or a service mesh.",
        )
    if _LOOPBACK.fullmatch(str(part["http"].get("host", ""))):
        problem = f"http.host is {part['http']['host']}, which isn't reachable from outside the Pod"
        raise BentoError(problem, place=where, remedy="Remove http.host from the service's configuration.")
    counted = part["metrics"].get("enabled", True)
    return WorkloadService(
        name=name,
        needs=_needs(entry),
        ports=_ports([port or part["http"].get("port", _PORT), *config.get("extra_ports", [])], where),
        quantities=quantities(part["resources"], where),
        concurrency=part["traffic"].get("concurrency"),
        metric=f"{part['metrics'].get('namespace', _METRICS)}_request_in_progress" if counted else "",
        gpu_type=part["resources"].get("gpu_type", ""),
        livez="/" + part["endpoints"].get("livez", "livez").removeprefix("/"),
        readyz="/" + part["endpoints"].get("readyz", "readyz").removeprefix("/"),
    )


def _ports(numbers: list[Any], where: str) -> tuple[int, ...]:
    for number in numbers:
        if type(number) is not int or not 0 < number <= _MAX_PORT:
            raise BentoError(f"invalid port {number!r}", place=where, remedy=f"Use a number from 1 to {_MAX_PORT}.")
    if len(set(numbers)) < len(numbers):
        problem = f"duplicate ports in extra_ports: {numbers}"
        raise BentoError(problem, place=where, remedy="Specify each port only once.")
    return tuple(numbers)


def _image(config: dict[str, Any]) -> StartupConfig:
    user = "0" if config.get("User", "") in ("", "root", "root:root") else config["User"]
    if not (match := _USER.fullmatch(user)):
        raise BentoError(
            f"the image runs as {user!r}, but Kubernetes can verify a non-root user only by numeric ID",
            place="user",
            remedy='Set user on the bento_image to numeric IDs, such as "1034:1034".',
        )
    variables = {name: value for name, _, value in (env.partition("=") for env in config.get("Env", ()))}
    uid, gid = int(match[1]), int(match[2]) if match[2] else None
    return StartupConfig(uid, gid, tuple(config.get("Entrypoint", ())), tuple(config.get("Cmd", ())), variables)


def _check_startup(image: StartupConfig, names: list[str], port: int) -> None:
    """Raise BentoError if the image's entrypoint and cmd can't run services, or require a `port` that isn't set."""
    serves_bento = entrypoint.serves_bento(image.entrypoint) and _BENTO_PATH in image.variables
    for word in image.cmd if serves_bento else ():
        if word.partition("=")[0] in ("--port", "-p", "--host"):
            problem = f"the image sets {word}, which the manifest also sets"
            raise BentoError(problem, place="cmd", remedy="Remove the option from cmd.")
    if not serves_bento and not port:
        problem = "the image has a custom entrypoint, so the server's port is unknown"
        raise BentoError(problem, place="port", remedy="Set port to the port that the server listens on.")
    if len(names) > 1 and (image.cmd or not serves_bento):
        problem = f"the services {', '.join(names)} run in separate Pods, which require the default entrypoint and cmd"
        raise BentoError(problem, place="image", remedy="Remove entrypoint and cmd from the bento_image.")


def quantities(resources: dict[str, Any], where: str) -> dict[str, str]:
    """Convert the `resources` of a service to quantities by Kubernetes resource name, such as `nvidia.com/gpu`.

    Error messages begin with `where`. Raises BentoError for invalid values, and for resources that Kubernetes can't
    provide, such as TPUs or fractions of a GPU.
    """
    gpu = "amd.com/gpu" if str(resources.get("gpu_type", "")).startswith("amd-") else "nvidia.com/gpu"
    kinds = {
        "cpu": ("cpu", _CPU, {"": 1000, "m": 1}, "a number of cores, or millicores such as '500m'"),
        "memory": ("memory", _MEMORY, {"Gi": 1 << 30, "Mi": 1 << 20, "": 1}, "a number (in GiB), or a size with a "
                   "unit, such as '512Mi' or '2Gi'"),
        "gpu": (gpu, None, {"": 1}, "a number of whole GPUs, or patch your cluster's shared GPU resource into the "
                "manifest"),
    }  # fmt: skip
    if unknown := sorted(set(resources) - {*kinds, "gpu_type"}):
        raise BentoError(
            f"resources.{unknown[0]} isn't a standard Kubernetes resource",
            place=where,
            remedy="Remove the resource from the service's configuration, and add your cluster's resource name "
            "to the manifest with a tool such as kustomize.",
        )
    if "gpu_type" in resources and "gpu" not in resources:
        raise BentoError("resources.gpu_type requires a number of GPUs", place=where, remedy="Set resources.gpu.")
    amounts = {}
    for key, (name, pattern, units, expected) in kinds.items():
        if key in resources:
            amounts[name] = _quantity(resources[key], pattern, units)
            if not amounts[name]:
                raise BentoError(f"invalid resources.{key} {resources[key]!r}", place=where, remedy=f"Use {expected}.")
    return amounts


def _quantity(value: object, pattern: re.Pattern[str] | None, units: dict[str, int]) -> str:
    """Return the quantity in the largest unit that gives a whole number, or an empty string for an invalid value."""
    if isinstance(value, str) and pattern and pattern.fullmatch(value) and re.search("[1-9]", value):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        return ""
    amount = Fraction(str(value)) * max(units.values())
    if pattern is _MEMORY:
        amount = Fraction(int(amount))
    return next((f"{amount / size}{unit}" for unit, size in units.items() if amount and not amount % size), "")
