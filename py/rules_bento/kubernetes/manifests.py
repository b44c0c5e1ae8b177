"""Builds the manifests of a workload: a Deployment, a Service, and an optional autoscaler for each service.

If the Bento has several services, each service starts with `start-http-server --service-name NAME --depends OTHER=URL`.
`URL` contains the name of the Kubernetes Service for `OTHER`.
"""

from __future__ import annotations

import re

from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterable, Mapping, Sequence

if TYPE_CHECKING:
    from rules_bento.kubernetes.workloads import Workload, WorkloadService

_START = ("-m", "bentoml_cli._internal.start", "start-http-server")
_SCRATCH = "/tmp"
_MODELS = "/mnt/models"  # as in rules/private/layers.bzl
_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_.-][A-Za-z0-9_.-]*")
_REPLICAS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_KEY = re.compile(r"([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?)/([-._a-zA-Z0-9]{1,253})")
_OURS = "rules-bento/"
_STANDARD = "app.kubernetes.io/"
_PROBE_SECONDS = 10  # between two probes; BentoML waits 5 s for dependencies before it reports that it isn't ready


@dataclass(frozen=True)
class DeploymentOptions:
    """The attributes of a target that configure the Kubernetes objects."""

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
    startup_timeout_seconds: int = 300
    models: Mapping[str, str] = field(default_factory=dict)  # tag to the repository@digest that Pods mount


def inference_service(
    tags: Sequence[str], scheme: str, model_format: str, options: DeploymentOptions
) -> dict[str, Any]:
    """Return a KServe InferenceService for the models with these tags. Raises BentoError for an invalid option."""
    if len(tags) > 1 and not options.name:
        raise BentoError(f"app_name: required for an image with {len(tags)} models. Set the InferenceService's name.")
    name = options.name or re.sub("[._]", "-", tags[0].partition(":")[0])
    _check_name("app_name", name)
    _check_metadata(options)
    model = {"modelFormat": {"name": model_format}, "storageUri": f"{scheme}://{options.image}"}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": _metadata(name, {f"{_STANDARD}name": name}, {f"{_OURS}models": ", ".join(tags)}, options),
        "spec": {"predictor": {**_pull_secrets(options), "model": model}},
    }


def _pull_secrets(options: DeploymentOptions) -> dict[str, Any]:
    return {"imagePullSecrets": [{"name": name} for name in options.pull_secrets]} if options.pull_secrets else {}


def _metadata(
    name: str, labels: dict[str, str], annotations: dict[str, str], options: DeploymentOptions
) -> dict[str, Any]:
    namespace = {"namespace": options.namespace} if options.namespace else {}
    labels |= dict(sorted(options.labels.items()))
    return {"name": name, **namespace, "labels": labels, **({"annotations": annotations} if annotations else {})}


def _check_name(attribute: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise BentoError(
            f"{attribute}: invalid name {name!r}. Use at most 63 characters: a-z, 0-9, and '-', starting with a letter."
        )


def _check_metadata(options: DeploymentOptions) -> None:
    """Raise BentoError for reserved or invalid labels, or for an invalid namespace."""
    for key, value in options.labels.items():
        if key.startswith((_STANDARD, _OURS)):
            raise BentoError(f"labels: the rule already sets {key}. Remove the label.")
        if not _LABEL_KEY.fullmatch(key) or not _LABEL.fullmatch(value):
            raise BentoError(
                f"labels: {key}={value} isn't a valid Kubernetes label. Use letters, digits, '-', '_', and '.': at "
                "most 63 in the key (without its prefix), and at most 63 in the value. Start and end both with a "
                "letter or digit."
            )
    if options.namespace:
        _check_name("namespace", options.namespace)


def dump(objects: Iterable[dict[str, Any]]) -> str:
    """Return objects as YAML documents, with quotes around strings that a parser might read as another type."""
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


class ManifestBuilder:
    """Builds the Kubernetes objects for one workload. The methods raise BentoError for invalid options."""

    def __init__(self, workload: Workload, options: DeploymentOptions) -> None:
        self._workload = workload
        self._options = options
        self._app = options.name or workload.name.replace("_", "-")
        self._names = self._object_names()
        self._check()
        self._env = self._variables()

    def objects(self) -> list[dict[str, Any]]:
        """Return the objects of all services, beginning with the entry service."""
        objects = []
        for service in self._workload.services:
            low, high = self._replicas(service)
            objects += [self._deployment(service, None if high else low), self._service(service)]
            if high:
                objects.append(self._autoscaler(service, low, high))
        return objects

    def _object_names(self) -> dict[str, str]:
        """Return the object name of each service. Raises BentoError for invalid or duplicate names."""
        first, *others = self._workload.services
        names = {first.name: self._app} | {one.name: f"{self._app}-{_kebab(one.name)}" for one in others}
        for service, name in names.items():
            if not _NAME.fullmatch(name):
                raise BentoError(
                    f"service {service!r}: the Kubernetes object name {name!r} is invalid. Set app_name or rename the "
                    "service, so that the name has at most 63 characters (a-z, 0-9, '-') and starts with a letter."
                )
        if len(set(names.values())) < len(names):
            raise BentoError(
                f"some of the services {', '.join(names)} would get Kubernetes objects with the same name. Rename one "
                "of these services."
            )
        return names

    def _check(self) -> None:
        options = self._options
        if unknown := sorted(set(options.replicas) - set(self._names)):
            raise BentoError(
                f"replicas: {unknown[0]!r} isn't a service of this workload. Valid values: {', '.join(self._names)}."
            )
        _check_metadata(options)
        if options.startup_timeout_seconds <= 0:
            raise BentoError(f"startup_timeout_seconds: expected at least 1, got {options.startup_timeout_seconds}.")
        for directory in options.writable:
            if not directory.startswith("/") or directory.rstrip("/") in ("", _SCRATCH):
                raise BentoError(
                    f"writable_dirs: invalid path {directory!r}. Use an absolute path other than {_SCRATCH} and /."
                )

    def _replicas(self, service: WorkloadService) -> tuple[int, int]:
        """Return the minimum and maximum number of Pods of a service. If the number is fixed, the maximum is 0."""
        text = self._options.replicas.get(service.name, "1")
        match = _REPLICAS.fullmatch(text)
        low, high = (int(match[1]), int(match[2] or 0)) if match else (0, 0)
        if not match or (match[2] and not 0 < low < high):
            raise BentoError(
                f"replicas: invalid value {text!r} for {service.name!r}. Use a number or a range, such as '2' or '1-4'."
            )
        if high and not (service.concurrency and service.metric):
            change, missing = ("Set", "traffic.concurrency") if service.metric else ("Enable", "metrics")
            raise BentoError(
                f"replicas: the range {low}-{high} for {service.name!r} requires {missing}. {change} {missing} of the "
                "service, or set replicas to a single number."
            )
        return low, high

    def _variables(self) -> list[dict[str, Any]]:
        options = self._options
        home = {"value": f"{_SCRATCH}/bentoml"}
        variables: dict[str, dict[str, Any]] = {"BENTOML_HOME": home} if options.read_only else {}
        # Required variables come from the default Secret, without which no Pod starts, unless an attribute
        # specifies their source.
        default = {name: f"{self._app}-env/{name}" for name in self._workload.required}
        for name in {*options.env, *options.secrets, *options.config_maps}:
            default.pop(name, None)
        for attribute, kind, keys in (
            ("secrets", "secretKeyRef", {**default, **options.secrets}),
            ("config_maps", "configMapKeyRef", options.config_maps),
        ):
            for name, place in keys.items():
                match = _KEY.fullmatch(place)
                if not match:
                    raise BentoError(
                        f"{attribute}: invalid value {place!r} for {name}. Use NAME/KEY, such as 'iris-env/TOKEN'."
                    )
                _put(variables, name, {"valueFrom": {kind: {"name": match[1], "key": match[2], "optional": False}}})
        for name, value in options.env.items():
            _put(variables, name, {"value": _literal(value)})
        return [{"name": name} | variables[name] for name in sorted(variables)]

    def _selector(self, service: WorkloadService) -> dict[str, str]:
        return {f"{_STANDARD}name": self._app, f"{_STANDARD}component": self._names[service.name]}

    def _metadata(self, service: WorkloadService, annotations: dict[str, str] | None = None) -> dict[str, Any]:
        version = self._workload.version
        labels = self._selector(service) | ({f"{_STANDARD}version": version} if _LABEL.fullmatch(version) else {})
        return _metadata(self._names[service.name], labels, annotations or {}, self._options)

    def _deployment(self, service: WorkloadService, replicas: int | None) -> dict[str, Any]:
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
            # An autoscaler changes the number, which applying the manifest again must not reset.
            "spec": ({} if replicas is None else {"replicas": replicas})
            | {
                "selector": {"matchLabels": self._selector(service)},
                "template": {
                    "metadata": {"labels": metadata["labels"], "annotations": annotations},
                    "spec": self._pod(service),
                },
            },
        }

    def _pod(self, service: WorkloadService) -> dict[str, Any]:
        options, image = self._options, self._workload.image
        security: dict[str, Any] = {"runAsNonRoot": image.uid != 0, "runAsUser": image.uid}
        if image.gid is not None:
            security |= {"runAsGroup": image.gid, "fsGroup": image.gid}
        pod: dict[str, Any] = {
            "automountServiceAccountToken": False,
            # Otherwise a Service with the name `bentoml` would set BENTOML_PORT.
            "enableServiceLinks": False,
            "securityContext": security | {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [self._container(service)],
            **_pull_secrets(options),
        }
        volumes: list[dict[str, Any]] = [{"name": mount["name"], "emptyDir": {}} for mount in self._mounts()]
        volumes += [{"name": name, "image": {"reference": image}} for image, name in self._model_volumes().items()]
        if volumes:
            pod["volumes"] = volumes
        return pod

    def _container(self, service: WorkloadService) -> dict[str, Any]:
        options = self._options
        container: dict[str, Any] = {"name": "service", "image": options.image}
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
        attempts = -(-options.startup_timeout_seconds // _PROBE_SECONDS)
        container |= {
            "startupProbe": live | every | {"failureThreshold": attempts},
            "livenessProbe": live | every,
            "readinessProbe": ready | every,
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": options.read_only,
            },
        }
        if mounts := [*self._mounts(), *self._model_mounts()]:
            container["volumeMounts"] = mounts
        return container

    def _command(self, service: WorkloadService) -> list[str]:
        python, *_, directory = self._workload.image.entrypoint
        by_name = {one.name: one for one in self._workload.services}
        command = [python, *_START, directory, "--service-name", service.name]
        for name in service.needs:
            command += ["--depends", f"{name}=http://{self._names[name]}:{by_name[name].ports[0]}"]
        return command

    def _mounts(self) -> list[dict[str, str]]:
        """Return the mounts of writable directories, or an empty list if the root file system is writable."""
        if not self._options.read_only:
            return []
        directories = [_SCRATCH, *self._options.writable]
        return [{"name": f"scratch-{at}", "mountPath": directory} for at, directory in enumerate(directories)]

    def _model_volumes(self) -> dict[str, str]:
        """Return the volume name of each model image. An image with several models has one volume."""
        images = dict.fromkeys(self._options.models.values())
        return {image: f"model-{at}" for at, image in enumerate(images)}

    def _model_mounts(self) -> list[dict[str, Any]]:
        """Return a volume mount for each model, at the target of the model's link in the Bento."""
        volumes = self._model_volumes()
        return [
            {"name": volumes[image], "mountPath": f"{_MODELS}/{tag.partition(':')[0]}", "readOnly": True}
            for tag, image in self._options.models.items()
        ]

    def _service(self, service: WorkloadService) -> dict[str, Any]:
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

    def _autoscaler(self, service: WorkloadService, low: int, high: int) -> dict[str, Any]:
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
        raise BentoError(
            f"invalid environment variable name {name!r}. Use letters, digits, '_', '.', and '-', and don't start with "
            "a digit."
        )
    if name in variables or name == "BENTOML_PORT":
        raise BentoError(
            f"{name}: the manifest or another attribute also sets this variable. Remove one of the values."
        )
    variables[name] = value


def _port_name(at: int) -> str:
    return f"extra-{at}" if at else "http"


def _kebab(name: str) -> str:
    """Convert a name to kebab case: `DigitArchive` and `digit_archive` become `digit-archive`."""
    from rules_bento.service import snake_case

    return snake_case(name).replace("_", "-")


def _literal(text: str) -> str:
    """Escape `$`, because Kubernetes replaces `$$` with `$`, and `$(NAME)` with the value of a variable."""
    return text.replace("$", "$$")
