"""Describes the workload that Kubernetes runs for a Bento: the services, their resources, and how the image starts.

In `resources`, `cpu` is a number of cores, and `memory` is a number of GiB. Strings such as `500m` have a unit.
"""

from __future__ import annotations

import re
from decimal import Decimal

from rules_bento.dataclasses_lite import dataclass
from rules_bento.errors import BentoError
from rules_bento.formats import schema
from rules_bento.typing_lite import Any

_CPU = re.compile(r"[0-9]+m|[0-9]+(\.[0-9]{1,3})?")
_MEMORY = re.compile(r"[0-9]+(\.[0-9]+)?([KMGTPE]i|[kMGTPE])")
_KNOWN = frozenset(["cpu", "memory", "gpu", "gpu_type"])
_BINARY = {"Gi": 1 << 30, "Mi": 1 << 20}


def quantities(resources: dict[str, Any], where: str) -> dict[str, str]:
    """Convert the `resources` of a service to quantities by Kubernetes resource name, such as `nvidia.com/gpu`.

    Error messages begin with `where`. Raises BentoError for invalid values, and for resources that Kubernetes can't
    provide, such as TPUs or fractions of a GPU.
    """
    if unknown := sorted(set(resources) - _KNOWN):
        raise BentoError(
            f"{where}: resources.{unknown[0]} isn't a standard Kubernetes resource. Remove the resource from the "
            "service's configuration, and add your cluster's resource name to the manifest with a tool such as "
            "kustomize."
        )
    amounts = {}
    if "cpu" in resources:
        amounts["cpu"] = _cpu(resources["cpu"], where)
    if "memory" in resources:
        amounts["memory"] = _memory(resources["memory"], where)
    if "gpu" in resources:
        vendor = "amd.com/gpu" if str(resources.get("gpu_type", "")).startswith("amd-") else "nvidia.com/gpu"
        amounts[vendor] = _gpus(resources["gpu"], where)
    elif "gpu_type" in resources:
        raise BentoError(f"{where}: resources.gpu_type requires a number of GPUs. Set resources.gpu.")
    return amounts


def _cpu(value: object, where: str) -> str:
    if isinstance(value, str) and _CPU.fullmatch(value) and value.strip("0.m"):
        return value
    number = _number(value)
    if number is None or number * 1000 % 1:
        raise BentoError(
            f"{where}: invalid resources.cpu {value!r}. Use a number of cores, or millicores such as '500m'."
        )
    return str(int(number)) if not number % 1 else f"{int(number * 1000)}m"


def _memory(value: object, where: str) -> str:
    if isinstance(value, str) and _MEMORY.fullmatch(value) and value.rstrip("KMGTPEik").strip("0."):
        return value
    number = _number(value)
    if number is None:
        raise BentoError(
            f"{where}: invalid resources.memory {value!r}. Use a number (in GiB), or a size with a unit, such as "
            "'512Mi' or '2Gi'."
        )
    size = number * (1 << 30)
    for unit, factor in _BINARY.items():
        if not size % factor:
            return f"{int(size / factor)}{unit}"
    return str(int(size))


def _gpus(value: object, where: str) -> str:
    number = _number(value)
    if number is None or number % 1:
        raise BentoError(
            f"{where}: resources.gpu is {value!r}, but Kubernetes allocates only whole GPUs. Set resources.gpu to 1, "
            "or remove it and patch your cluster's shared GPU resource into the manifest."
        )
    return str(int(number))


def _number(value: object) -> Decimal | None:
    """Return `value` as a Decimal if it is a positive number, otherwise None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    number = Decimal(str(value))
    return number if number.is_finite() and number > 0 else None


_PORT = 3000  # BentoML's own
_MAX_PORT = 65535
_SERVE = ["-m", "bentoml", "serve"]
_LOOPBACK = re.compile(r"127\..*|::1|localhost")
_USER = re.compile(r"([0-9]+)(?::([0-9]+))?")
_METRICS = "bentoml_service"  # the default namespace of BentoML's metrics


_BENTO = {
    "name": str,
    "version": str,
    "service": str,
    "entry_service?": str,
    "envs?": [{"name": str, "value?": str, "stage?": str}],
    "services?": [
        {
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
    ],
}
_CONFIG = {"config?": {"User?": str, "Entrypoint?": [str], "Cmd?": [str], "Env?": [str]}}


@dataclass(frozen=True)
class WorkloadService:
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


@dataclass(frozen=True)
class StartupConfig:
    """The settings in an image's config that determine how containers start."""

    uid: int
    gid: int | None
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    variables: frozenset[str]  # variables with a value in the image

    @property
    def serves_bento(self) -> bool:
        """Whether the image runs Python with `-m bentoml serve DIRECTORY`, as a `bento_image` does."""
        return len(self.entrypoint) == len(_SERVE) + 2 and list(self.entrypoint[1:-1]) == _SERVE


@dataclass(frozen=True)
class Workload:
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
    required = tuple(
        sorted(
            env["name"]
            for env in document.get("envs", [])
            if not env.get("value") and env.get("stage") != "build" and env["name"] not in image.variables
        )
    )
    _check_startup(image, services, port)
    return Workload(document["name"], document["version"], services, required, image)


def _reachable(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the `services` entries of the entry service and of its direct and indirect dependencies.

    Excludes dependencies with a URL or a deployment, because they run elsewhere.
    """
    entries = {entry["name"]: entry for entry in document.get("services", [])}
    if not entries:
        raise BentoError(
            f"{document['service']}: the service uses the legacy API of BentoML 1.1, which doesn't describe "
            "dependencies. Use @bentoml.service."
        )
    names = [document.get("entry_service", "")]
    for name in names:
        if name not in entries:
            raise BentoError(f"bento.yaml: the service {name!r} is missing from services. Build the Bento again.")
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
            f"{where}: ssl is enabled, but the Pods have no key files. Remove ssl, and encrypt the traffic with an "
            "ingress or a service mesh."
        )
    if _LOOPBACK.fullmatch(str(part["http"].get("host", ""))):
        raise BentoError(
            f"{where}: http.host is {part['http']['host']}, which isn't reachable from outside the Pod. Remove "
            "http.host from the service's configuration."
        )
    counted = part["metrics"].get("enabled", True)
    return WorkloadService(
        name=name,
        needs=_needs(entry),
        ports=_ports([port or part["http"].get("port", _PORT), *config.get("extra_ports", [])], where),
        quantities=quantities(part["resources"], where),
        concurrency=part["traffic"].get("concurrency"),
        metric=f"{part['metrics'].get('namespace', _METRICS)}_request_in_progress" if counted else "",
        gpu_type=part["resources"].get("gpu_type", ""),
        livez=_path(part["endpoints"].get("livez", "livez")),
        readyz=_path(part["endpoints"].get("readyz", "readyz")),
    )


def _path(path: str) -> str:
    return f"/{path.removeprefix('/')}"


def _ports(numbers: list[Any], where: str) -> tuple[int, ...]:
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= _MAX_PORT:
            raise BentoError(f"{where}: invalid port {number!r}. Use a number from 1 to {_MAX_PORT}.")
    if len(set(numbers)) < len(numbers):
        raise BentoError(f"{where}: duplicate ports in extra_ports: {numbers}. Specify each port only once.")
    return tuple(numbers)


def _image(config: dict[str, Any]) -> StartupConfig:
    user = "0" if config.get("User", "") in ("", "root", "root:root") else config["User"]
    match = _USER.fullmatch(user)
    if not match:
        raise BentoError(
            f"user: the image runs as {user!r}, but Kubernetes can verify a non-root user only by numeric ID. Set user "
            'on the bento_image to numeric IDs, such as "1034:1034".'
        )
    return StartupConfig(
        uid=int(match[1]),
        gid=int(match[2]) if match[2] else None,
        entrypoint=tuple(config.get("Entrypoint") or ()),
        cmd=tuple(config.get("Cmd") or ()),
        variables=frozenset(env.partition("=")[0] for env in config.get("Env") or ()),
    )


def _check_startup(image: StartupConfig, services: tuple[WorkloadService, ...], port: int) -> None:
    """Raise BentoError if the image's entrypoint and cmd can't run `services`, or require a `port` that isn't set."""
    for word in image.cmd if image.serves_bento else ():
        if word.partition("=")[0] in ("--port", "-p", "--host"):
            raise BentoError(f"cmd: the image sets {word}, which the manifest also sets. Remove the option from cmd.")
    if not image.serves_bento and not port:
        raise BentoError(
            "port: the image has a custom entrypoint, so the server's port is unknown. Set port to the port that the "
            "server listens on."
        )
    if len(services) > 1 and (image.cmd or not image.serves_bento):
        names = ", ".join(service.name for service in services)
        raise BentoError(
            f"image: the services {names} run in separate Pods, which require the default entrypoint and cmd. Remove "
            "entrypoint and cmd from the bento_image."
        )
