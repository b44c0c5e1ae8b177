"""Manifests of a workload: a Deployment and a Service for each service of BentoML's, and autoscalers on request.

Services find each other as BentoML itself has it when it runs them one by one: `start-http-server --service-name NAME
--depends OTHER=URL`, with the cluster's name of the other Service in the URL.
"""

from __future__ import annotations

import re

from rules_bento.errors import BentoError
from rules_bento.hints import Any
from rules_bento.records import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rules_bento.kubernetes.workloads import Service, Workload

_START = ("-m", "bentoml_cli._internal.start", "start-http-server")
_SCRATCH = "/tmp"
_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_.-][A-Za-z0-9_.-]*")
_REPLICAS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_KEY = re.compile(r"([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?)/([-._a-zA-Z0-9]{1,253})")
_OURS = "rules-bento/"
_STANDARD = "app.kubernetes.io/"
_PROBE_SECONDS = 10  # between two; BentoML waits 5 s for what a service calls before it says that it is not ready


@dataclass(frozen=True)
class Wishes:
    """Holds what a target states about its Deployments, beside what the Bento says."""

    image: str  # repository@digest
    name: str = ""
    namespace: str = ""
    replicas: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    config_maps: Mapping[str, str] = field(default_factory=dict)
    pull_secrets: tuple[str, ...] = ()
    read_only: bool = True
    writable: tuple[str, ...] = ()
    start_seconds: int = 300


def manifests(workload: Workload, wishes: Wishes) -> list[dict[str, Any]]:
    """Return the objects of all services. Raises BentoError for wishes that fit neither them nor Kubernetes."""
    return _Maker(workload, wishes).objects()


def dump(objects: Iterable[dict[str, Any]]) -> str:
    """Write objects as documents of YAML, with quotes wherever a reader may see something else than a text."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    def represent(dumper: Dumper, text: str) -> yaml.ScalarNode:
        plain = re.fullmatch(r"[A-Za-z/][-A-Za-z0-9_./]+", text)
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')

    Dumper.add_representer(str, represent)
    text: str = yaml.dump_all(
        list(objects), Dumper=Dumper, sort_keys=False, allow_unicode=False, explicit_start=True, width=1 << 20
    )
    return text


class _Maker:
    """Makes the objects of one workload."""

    def __init__(self, workload: Workload, wishes: Wishes) -> None:
        self._workload = workload
        self._wishes = wishes
        self._app = wishes.name or workload.name.replace("_", "-")
        self._names = self._object_names()
        self._check()
        self._env = self._variables()

    def objects(self) -> list[dict[str, Any]]:
        """Return those of one service after those of another, that of the callers first."""
        objects = []
        for service in self._workload.services:
            low, high = self._replicas(service)
            objects += [self._deployment(service, None if high else low), self._service(service)]
            if high:
                objects.append(self._autoscaler(service, low, high))
        return objects

    def _object_names(self) -> dict[str, str]:
        """Return the name of the objects of each service: the one for callers has the workload's."""
        first, *others = self._workload.services
        names = {first.name: self._app} | {one.name: f"{self._app}-{_kebab(one.name)}" for one in others}
        for service, name in names.items():
            if not _NAME.fullmatch(name):
                raise BentoError(
                    f"service {service!r}: its objects would be called {name!r}, and Kubernetes takes at most 63 of "
                    "a-z, 0-9 and '-', a letter first. Set app_name, or another name of the service."
                )
        if len(set(names.values())) < len(names):
            raise BentoError(f"the services {', '.join(names)} would have objects of one name. Name one otherwise.")
        return names

    def _check(self) -> None:
        wishes = self._wishes
        if unknown := sorted(set(wishes.replicas) - set(self._names)):
            raise BentoError(
                f"replicas: {unknown[0]!r} is no service that runs here. There are {', '.join(self._names)}."
            )
        for key, value in wishes.labels.items():
            if key.startswith((_STANDARD, _OURS)):
                raise BentoError(f"labels: {key} is set by the rule. Leave it out.")
            if not _LABEL_KEY.fullmatch(key) or not _LABEL.fullmatch(value):
                raise BentoError(
                    f"labels: {key}={value} is no label of Kubernetes: at most 63 letters, digits, '-', '_', '.', "
                    "the first and the last a letter or a digit."
                )
        if wishes.namespace and not _NAME.fullmatch(wishes.namespace):
            raise BentoError(f"namespace: {wishes.namespace!r} is none. Write a-z, 0-9 and '-', a letter first.")
        if wishes.start_seconds <= 0:
            raise BentoError("startup_timeout_seconds: must be greater than 0.")
        for folder in wishes.writable:
            if not folder.startswith("/") or folder.rstrip("/") in ("", _SCRATCH):
                raise BentoError(f"writable_dirs: {folder!r}: write absolute paths, {_SCRATCH} and / left out.")

    def _replicas(self, service: Service) -> tuple[int, int]:
        """Return how many Pods, or from how many to how many; the second is 0 if the number does not change."""
        text = self._wishes.replicas.get(service.name, "1")
        match = _REPLICAS.fullmatch(text)
        low, high = (int(match[1]), int(match[2] or 0)) if match else (0, 0)
        if not match or (match[2] and not 0 < low < high):
            raise BentoError(f"replicas: {service.name!r} has {text!r}. Write a number as '2', or a range as '1-4'.")
        if high and not (service.concurrency and service.metric):
            missing = "set traffic.concurrency of it" if service.metric else "leave metrics of it on"
            raise BentoError(
                f"replicas: {service.name!r} is to scale from {low} to {high} by the requests that its Pods are there "
                f"for: {missing}, or give a number."
            )
        return low, high

    def _variables(self) -> list[dict[str, Any]]:
        wishes = self._wishes
        home = {"BENTOML_HOME": f"{_SCRATCH}/bentoml"} if wishes.read_only else {}
        variables: dict[str, dict[str, Any]] = {name: {"value": _literal(value)} for name, value in home.items()}
        # Required variables come from the default Secret, without which no Pod starts, unless an attribute says where
        # they come from.
        default = {name: f"{self._app}-env/{name}" for name in self._workload.required}
        for name in {*wishes.env, *wishes.secrets, *wishes.config_maps}:
            default.pop(name, None)
        for attribute, kind, keys in (
            ("secrets", "secretKeyRef", {**default, **wishes.secrets}),
            ("config_maps", "configMapKeyRef", wishes.config_maps),
        ):
            for name, place in keys.items():
                match = _KEY.fullmatch(place)
                if not match:
                    raise BentoError(f"{attribute}: {name} is {place!r}. Write NAME/KEY, as 'iris-env/TOKEN'.")
                _put(variables, name, {"valueFrom": {kind: {"name": match[1], "key": match[2], "optional": False}}})
        for name, value in wishes.env.items():
            _put(variables, name, {"value": _literal(value)})
        return [{"name": name} | variables[name] for name in sorted(variables)]

    def _selector(self, service: Service) -> dict[str, str]:
        return {f"{_STANDARD}name": self._app, f"{_STANDARD}component": self._names[service.name]}

    def _metadata(self, service: Service, annotations: dict[str, str] | None = None) -> dict[str, Any]:
        version = self._workload.version
        labels = self._selector(service) | ({f"{_STANDARD}version": version} if _LABEL.fullmatch(version) else {})
        namespace = {"namespace": self._wishes.namespace} if self._wishes.namespace else {}
        return (
            {"name": self._names[service.name]}
            | namespace
            | {"labels": labels | dict(sorted(self._wishes.labels.items()))}
            | ({"annotations": annotations} if annotations else {})
        )

    def _deployment(self, service: Service, replicas: int | None) -> dict[str, Any]:
        annotations = {f"{_OURS}bento": f"{self._workload.name}:{self._workload.version}"}
        if service.concurrency:
            annotations[f"{_OURS}concurrency"] = str(service.concurrency)
        if service.gpu_type:
            annotations[f"{_OURS}gpu-type"] = service.gpu_type
        metadata = self._metadata(service, annotations)
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            # An autoscaler has a say in the number, which applying the manifest again must not take back.
            "spec": ({} if replicas is None else {"replicas": replicas})
            | {
                "selector": {"matchLabels": self._selector(service)},
                "template": {
                    "metadata": {"labels": metadata["labels"], "annotations": annotations},
                    "spec": self._pod(service),
                },
            },
        }

    def _pod(self, service: Service) -> dict[str, Any]:
        wishes, image = self._wishes, self._workload.image
        security: dict[str, Any] = {"runAsNonRoot": image.uid != 0, "runAsUser": image.uid}
        if image.gid is not None:
            security |= {"runAsGroup": image.gid, "fsGroup": image.gid}
        pod: dict[str, Any] = {
            "automountServiceAccountToken": False,
            # Else a Service that is called `bentoml` would set BENTOML_PORT.
            "enableServiceLinks": False,
            "securityContext": security | {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [self._container(service)],
        }
        if wishes.pull_secrets:
            pod["imagePullSecrets"] = [{"name": name} for name in wishes.pull_secrets]
        if mounts := self._mounts():
            pod["volumes"] = [{"name": mount["name"], "emptyDir": {}} for mount in mounts]
        return pod

    def _container(self, service: Service) -> dict[str, Any]:
        wishes = self._wishes
        container: dict[str, Any] = {"name": "service", "image": wishes.image}
        if len(self._workload.services) > 1:
            container["command"] = [_literal(word) for word in self._command(service)]
        port = {"name": "BENTOML_PORT", "value": str(service.ports[0])}
        container |= {
            "env": [*self._env, port],
            "ports": [{"name": _port_name(at), "containerPort": number} for at, number in enumerate(service.ports)],
        }
        if service.quantities:
            container["resources"] = {"requests": service.quantities, "limits": dict(service.quantities)}
        live = {"httpGet": {"path": service.livez, "port": "http"}}
        ready = {"httpGet": {"path": service.readyz, "port": "http"}}
        every = {"periodSeconds": _PROBE_SECONDS, "timeoutSeconds": _PROBE_SECONDS}
        attempts = -(-wishes.start_seconds // _PROBE_SECONDS)
        container |= {
            "startupProbe": live | every | {"failureThreshold": attempts},
            "livenessProbe": live | every,
            "readinessProbe": ready | every,
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": wishes.read_only,
            },
        }
        if mounts := self._mounts():
            container["volumeMounts"] = mounts
        return container

    def _command(self, service: Service) -> list[str]:
        python, *_, folder = self._workload.image.entrypoint
        by_name = {one.name: one for one in self._workload.services}
        command = [python, *_START, folder, "--service-name", service.name]
        for name in service.needs:
            command += ["--depends", f"{name}=http://{self._names[name]}:{by_name[name].ports[0]}"]
        return command

    def _mounts(self) -> list[dict[str, str]]:
        """Return folders that a read-only container can write to."""
        if not self._wishes.read_only:
            return []
        folders = [_SCRATCH, *self._wishes.writable]
        return [{"name": f"scratch-{at}", "mountPath": folder} for at, folder in enumerate(folders)]

    def _service(self, service: Service) -> dict[str, Any]:
        ports = [
            {"name": _port_name(at), "port": number, "targetPort": _port_name(at)}
            for at, number in enumerate(service.ports)
        ]
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": self._metadata(service),
            "spec": {"selector": self._selector(service), "ports": ports},
        }

    def _autoscaler(self, service: Service, low: int, high: int) -> dict[str, Any]:
        target = {"type": "AverageValue", "averageValue": str(service.concurrency)}
        return {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": self._metadata(service),
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": self._names[service.name]},
                "minReplicas": low,
                "maxReplicas": high,
                "metrics": [{"type": "Pods", "pods": {"metric": {"name": service.metric}, "target": target}}],
            },
        }


def _put(variables: dict[str, dict[str, Any]], name: str, value: dict[str, Any]) -> None:
    if not _VARIABLE.fullmatch(name):
        raise BentoError(f"{name!r} is no name of a variable. Write letters, digits and '_', no digit first.")
    if name in variables or name == "BENTOML_PORT":
        raise BentoError(
            f"{name}: has a value already, of another attribute or the manifest's own. Leave it out of one."
        )
    variables[name] = value


def _port_name(at: int) -> str:
    return f"extra-{at}" if at else "http"


def _kebab(name: str) -> str:
    """Convert a name to kebab case: `DigitArchive` and `digit_archive` become `digit-archive`."""
    from rules_bento.service import snake_case

    return snake_case(name).replace("_", "-")


def _literal(text: str) -> str:
    """Return a string that Kubernetes expands to `text`: `$$` becomes `$`, `$(NAME)` the value of a variable."""
    return text.replace("$", "$$")
