"""Builds the manifests of a workload: a Deployment, a Service, and an optional autoscaler for each service.

If the Bento has several services, each service starts with `start-http-server --service-name NAME --depends OTHER=URL`.
`URL` contains the name of the Kubernetes Service for `OTHER`.
"""

from __future__ import annotations

import re

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Collection, Mapping, Sequence

if TYPE_CHECKING:
    from rules_bento.images.kubernetes.workloads import Workload, WorkloadService

# In the pod, without -I, as BentoML starts it.
_START = ("-m", "bentoml_cli._internal.start", "start-http-server")
_ROOT = "/"
_SCRATCH = "/tmp"
_SHARED_MEMORY = "/dev/shm"  # containers have 64 MB; processes that share GPUs by NCCL need more
_MODELS = "/mnt/models"  # as in private/layers.bzl
_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_REPLICAS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_KEY = re.compile(r"([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?)/([-._a-zA-Z0-9]{1,253})")
# Fields of the Pods of a Deployment that the template sets.
_POD_FIELDS = ("automountServiceAccountToken", "containers", "enableServiceLinks", "securityContext", "volumes")
_OURS = "rules-bento/"
_STANDARD = "app.kubernetes.io/"
_PROBE_SECONDS = 10  # between two probes; BentoML waits 5 s for dependencies before it reports that it isn't ready


class DeploymentOptions(NamedTuple):
    """The attributes of a target that configure the Kubernetes objects."""

    image: str  # repository@digest
    name: str
    replicas: Mapping[str, str]
    env: Mapping[str, str]
    secrets: Mapping[str, str]
    config_maps: Mapping[str, str]
    openshift: bool  # whether the Pods pass the admission of OpenShift's `restricted-v2`
    writable: Sequence[str]
    startup_timeout_seconds: int
    models: Mapping[str, str]  # tag to the repository@digest that Pods mount
    pod_spec: Mapping[str, Any]  # further fields of the spec of Pods

    @property
    def read_only(self) -> bool:
        """Whether containers can write only to some directories."""
        return _ROOT not in self.writable


def inference_service(tags: Sequence[str], scheme: str, model_format: str, options: DeploymentOptions) -> str:
    """Return a KServe InferenceService for the models with these tags. Raises BentoError for an invalid option."""
    if len(tags) > 1 and not options.name:
        problem = f"required for an image with {len(tags)} models"
        raise BentoError(problem, place="app_name", remedy="Set the InferenceService's name.")
    name = options.name or re.sub("[._]", "-", tags[0].partition(":")[0])
    metadata = _metadata("app_name", name, {f"{_STANDARD}name": name})
    model = {"modelFormat": {"name": model_format}, "storageUri": f"{scheme}://{options.image}"}
    container = options.pod_spec.get("model", {})
    if not isinstance(container, dict):
        problem = "model isn't an object"
        raise BentoError(problem, place="pod_spec", remedy="Write its fields, such as resources, on indented lines.")
    if "resources" in options.pod_spec:
        problem = "resources of a Pod can't request GPUs"
        raise BentoError(problem, place="pod_spec", remedy="Move resources below model, the container that serves.")
    _check_pod_spec(container, ("storage", *model), "model")
    document = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": metadata | {"annotations": {f"{_OURS}models": ", ".join(tags)}},
        "spec": {"predictor": {**options.pod_spec, "model": model | container}},
    }
    return f"---\n{to_yaml(document)}\n"


def deployment(workload: Workload, options: DeploymentOptions) -> str:
    """Return the objects of all services, beginning with the entry service. Raises BentoError for an invalid option."""
    import pkgutil

    from jinja2 import Environment, StrictUndefined

    if options.startup_timeout_seconds <= 0:
        problem = f"expected at least 1, got {options.startup_timeout_seconds}."
        raise BentoError(problem, place="startup_timeout_seconds")
    _check_pod_spec(options.pod_spec, _POD_FIELDS, "Pods")
    names = _object_names(workload, options.name or workload.name.replace("_", "-"))
    template = pkgutil.get_data(__package__, "deployment.yaml.j2") or b""
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    environment.filters["yaml"] = to_yaml
    return environment.from_string(template.decode()).render(
        attempts=-(-options.startup_timeout_seconds // _PROBE_SECONDS),
        image=workload.image,
        objects=[_values(workload, service, names, options) for service in workload.services],
        options=options,
        probe_seconds=_PROBE_SECONDS,
    )


def to_yaml(value: object) -> str:
    """Return a value as YAML, with quotes around strings that a parser might read as another type."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    def represent(dumper: Dumper, text: str) -> yaml.ScalarNode:
        plain = re.fullmatch(r"[A-Za-z/][-A-Za-z0-9_./]+", text)
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')

    Dumper.add_representer(str, represent)
    text: str = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=False, width=1 << 20)
    return text.removesuffix("\n").removesuffix("\n...")


def _check_pod_spec(spec: Mapping[str, Any], own: Collection[str], where: str) -> None:
    """Raise BentoError if a field in `spec` is in `own`, the fields that the manifest sets of `where`."""
    if fields := [field for field in own if field in spec]:
        raise BentoError(
            f"the manifest sets {', '.join(fields)} of {where}",
            place="pod_spec",
            remedy="Remove the field from the file. If no attribute of the target changes its value, patch the "
            "manifest with a tool such as kustomize.",
        )


def _values(
    workload: Workload, service: WorkloadService, names: Mapping[str, str], options: DeploymentOptions
) -> dict[str, Any]:
    """Return the values of a service's objects in the template."""
    app, name = names[workload.services[0].name], names[service.name]
    selector = {f"{_STANDARD}name": app, f"{_STANDARD}component": name}
    version = {f"{_STANDARD}version": workload.version} if _LABEL.fullmatch(workload.version) else {}
    low, high = _replicas(service, names, options)
    annotations = {
        f"{_OURS}bento": f"{workload.name}:{workload.version}",
        f"{_OURS}concurrency": str(service.concurrency or ""),
        f"{_OURS}gpu-type": service.gpu_type,
    }
    mounts, volumes = _volumes(service, options)
    return {
        "annotations": {key: value for key, value in annotations.items() if value},
        "command": _command(workload, service, names) if len(names) > 1 else [],
        "env": [*_variables(workload, app, options), {"name": "BENTOML_PORT", "value": str(service.ports[0])}],
        "high": high,
        "low": low,
        "metadata": _metadata("app_name", name, selector | version),
        "mounts": mounts,
        "selector": selector,
        "service": service,
        "volumes": volumes,
    }


def _metadata(attribute: str, name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the name and labels of an object. Raises BentoError for an invalid name."""
    if not _NAME.fullmatch(name):
        raise BentoError(
            f"invalid name {name!r}",
            place=attribute,
            remedy=f"Set {attribute} to at most 63 characters: a-z, 0-9, and '-', starting with a letter.",
        )
    return {"name": name, "labels": dict(labels)}


def _object_names(workload: Workload, app: str) -> dict[str, str]:
    """Return the object name of each service. Raises BentoError for duplicate names."""
    from rules_bento.bentos.service import snake_case

    first, *others = (service.name for service in workload.services)
    names = {first: app} | {name: f"{app}-{snake_case(name).replace('_', '-')}" for name in others}
    if len(set(names.values())) < len(names):
        problem = f"some of the services {', '.join(names)} would get Kubernetes objects with the same name"
        raise BentoError(problem, remedy="Rename one of these services.")
    return names


def _replicas(service: WorkloadService, names: Mapping[str, str], options: DeploymentOptions) -> tuple[int, int]:
    """Return the minimum and maximum number of Pods of a service. If the number is fixed, the maximum is 0."""
    if unknown := sorted(set(options.replicas) - set(names)):
        problem = f"{unknown[0]!r} isn't a service of this workload"
        raise BentoError(problem, place="replicas", remedy=f"Valid values: {', '.join(names)}.")
    text = options.replicas.get(service.name, "1")
    match = _REPLICAS.fullmatch(text)
    low, high = (int(match[1]), int(match[2] or 0)) if match else (0, 0)
    if not match or (match[2] and not 0 < low < high):
        problem = f"invalid value {text!r} for {service.name!r}"
        raise BentoError(problem, place="replicas", remedy="Use a number or a range, such as '2' or '1-4'.")
    if high and not (service.concurrency and service.metric):
        change, missing = ("Set", "traffic.concurrency") if service.metric else ("Enable", "metrics")
        raise BentoError(
            f"the range {low}-{high} for {service.name!r} requires {missing}. {change} {missing} of the service, or "
            "set replicas to a single number.",
            place="replicas",
        )
    return low, high


def _variables(workload: Workload, app: str, options: DeploymentOptions) -> list[dict[str, Any]]:
    # A required variable comes from the default Secret, without which no Pod starts, unless an attribute specifies it.
    given = {*options.env, *options.secrets, *options.config_maps}
    secrets = {name: f"{app}-env/{name}" for name in workload.required if name not in given} | dict(options.secrets)
    variables: dict[str, Any] = {"BENTOML_HOME": {"value": f"{_SCRATCH}/bentoml"}} if options.read_only else {}
    for attribute, kind, values in (
        ("secrets", "secretKeyRef", secrets),
        ("config_maps", "configMapKeyRef", options.config_maps),
        ("env", "", options.env),
    ):
        for name, value in values.items():
            if name in variables or name == "BENTOML_PORT":
                problem = "the manifest or another attribute also sets this variable"
                raise BentoError(problem, place=name, remedy="Remove one of the values.")
            variables[name] = (
                {"valueFrom": {kind: _key(attribute, name, value)}} if kind else {"value": _literal(value)}
            )
    return [{"name": name} | variables[name] for name in sorted(variables)]


def _key(attribute: str, name: str, value: str) -> dict[str, Any]:
    if not (match := _KEY.fullmatch(value)):
        problem = f"invalid value {value!r} for {name}"
        raise BentoError(problem, place=attribute, remedy="Use NAME/KEY, such as 'iris-env/TOKEN'.")
    return {"name": match[1], "key": match[2], "optional": False}


def _command(workload: Workload, service: WorkloadService, names: Mapping[str, str]) -> list[str]:
    python, directory = workload.image.entrypoint[0], workload.image.variables["BENTO_PATH"]
    ports = {one.name: one.ports[0] for one in workload.services}
    command = [python, *_START, directory, "--service-name", service.name]  # without -I: see _START
    for name in service.needs:
        command += ["--depends", f"{name}=http://{names[name]}:{ports[name]}"]
    return [_literal(word) for word in command]


def _volumes(service: WorkloadService, options: DeploymentOptions) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the mounts of a container and the volumes of a Pod: for writable directories, and for images of models."""
    several_gpus = any(name.endswith("/gpu") and int(count) > 1 for name, count in service.quantities.items())
    shared_memory = several_gpus or _SHARED_MEMORY in options.writable
    for directory in options.writable:
        if directory != _ROOT and (not directory.startswith("/") or directory.rstrip("/") in ("", _SCRATCH)):
            problem = f"invalid path {directory!r}"
            raise BentoError(problem, place="writable_dirs", remedy=f"Use an absolute path other than {_SCRATCH}.")
    directories = [_SCRATCH, *(it for it in options.writable if it != _SHARED_MEMORY)] if options.read_only else []
    # An image with several models has one volume. A model is mounted at the target of its link in the Bento.
    images = {image: f"model-{at}" for at, image in enumerate(dict.fromkeys(options.models.values()))}
    mounts: list[dict[str, Any]] = [{"name": f"scratch-{at}", "mountPath": it} for at, it in enumerate(directories)]
    volumes: list[dict[str, Any]] = [{"name": mount["name"], "emptyDir": {}} for mount in mounts]
    if shared_memory:
        mounts.append({"name": "shared-memory", "mountPath": _SHARED_MEMORY})
        volumes.append({"name": "shared-memory", "emptyDir": {"medium": "Memory"}})
    volumes += [{"name": name, "image": {"reference": image}} for image, name in images.items()]
    for tag, image in options.models.items():
        mounts.append({"name": images[image], "mountPath": f"{_MODELS}/{tag.partition(':')[0]}", "readOnly": True})
    return mounts, volumes


def _literal(text: str) -> str:
    """Escape `$`, because Kubernetes replaces `$$` with `$`, and `$(NAME)` with the value of a variable."""
    return text.replace("$", "$$")
