"""Manifests say what the services of a Bento say, as Kubernetes reads it, and refuse what it cannot be told."""

import json
import re

import pytest
import yaml
from rules_bento.actions.images import deployment
from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import decode
from rules_bento.images.entrypoint import command
from rules_bento.images.kubernetes.deployment_yaml import _POD_FIELDS, to_yaml
from rules_bento.images.kubernetes.workloads import quantities

DIGEST = "sha256:" + "0a" * 32
SERVE = command("/app/.venv")
TRAFFIC = {"traffic": {"concurrency": 8}}
WISHES = {
    "--app-name": "",
    "--openshift": "0",
    "--port": "0",
    "--repository": "registry.example.com/team/digits",
    "--startup-timeout-seconds": "300",
}


POD_SPEC = """\
nodeSelector: {accelerator: nvidia-l4, "on": "yes"}
runtimeClassName: gvisor
tolerations:
- {key: nvidia.com/gpu, operator: Exists, tolerationSeconds: 30}
imagePullSecrets: [{name: pull}]
"""


def service(name, *needs, **config):
    dependencies = [need if isinstance(need, dict) else {"service": need} for need in needs]
    return {"name": name, "service": "", "models": [], "dependencies": dependencies, "config": config}


def bento(*services, **fields):
    return {
        "service": "service:Studio",
        "name": "digit_studio",
        "version": "abc1",
        "entry_service": services[0]["name"] if services else "",
        "services": list(services),
        "envs": [],
    } | fields


class Rule:
    """The action, over files."""

    def __init__(self, directory):
        self.directory = directory

    def text(self, document, *words, config=None, **flags):
        settings = {
            "User": "1034:1034",
            "Entrypoint": SERVE,
            "Env": ["PATH=/bin", "BENTO_PATH=/home/bentoml/bento"],
        } | (config or {})
        (self.directory / "config.json").write_text(json.dumps({"config": settings}), "utf-8")
        (self.directory / "bento.yaml").write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
        (self.directory / "digest").write_text(f"{DIGEST}\n", "utf-8")
        wishes = WISHES | {"--" + name.replace("_", "-"): value for name, value in flags.items()}
        argv = [word for pair in wishes.items() for word in pair]
        argv += ["--image", str(self.directory / "config.json"), str(self.directory / "bento.yaml")]
        argv += ["--digest", str(self.directory / "digest"), "--output", str(self.directory / "out.yaml"), *words]
        deployment(decode(deployment, argv))
        return (self.directory / "out.yaml").read_text("utf-8")

    def __call__(self, document, *words, **more):
        objects = list(yaml.safe_load_all(self.text(document, *words, **more)))
        return {(one["kind"], one["metadata"]["name"]): one for one in objects}

    def pod_spec(self, text):
        """The words for a file with fields of Pods."""
        (self.directory / "pod.yaml").write_text(text, "utf-8")
        return ["--pod-spec", str(self.directory / "pod.yaml"), "svc/pod.yaml"]


@pytest.fixture
def rule(tmp_path):
    return Rule(tmp_path)


def pair(flag, key, value):
    return [flag, json.dumps(key), json.dumps(value)]


def pod(objects, name="digit-studio"):
    return objects["Deployment", name]["spec"]["template"]["spec"]


def container(objects, name="digit-studio"):
    [found] = pod(objects, name)["containers"]
    return found


def variables(objects):
    return {env["name"]: env.get("value", env.get("valueFrom")) for env in container(objects)["env"]}


def test_one_service_is_one_deployment_and_one_service_of_the_digest_that_was_built(rule):
    objects = rule(bento(service("Studio")))
    assert list(objects) == [("Deployment", "digit-studio"), ("Service", "digit-studio")]
    assert container(objects)["image"] == f"registry.example.com/team/digits@{DIGEST}"
    assert "command" not in container(objects), "the image's own entrypoint serves it"
    deployment_, service_ = objects.values()
    labels = deployment_["spec"]["template"]["metadata"]["labels"]
    assert service_["spec"]["selector"].items() <= labels.items()
    assert deployment_["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert "app.kubernetes.io/version" not in service_["spec"]["selector"], "a rollout has Pods of two versions"


def test_the_same_inputs_give_the_same_bytes(rule):
    document = bento(service("Studio", "Archive"), service("Archive"))
    words = [*pair("--env", "B", "1"), *pair("--env", "A", "2")]
    other = [*pair("--env", "A", "2"), *pair("--env", "B", "1")]
    text = rule.text(document, *words)
    assert text == rule.text(document, *other)
    assert "&id" not in text


def test_services_find_each_other_by_the_names_of_their_kubernetes_services(rule):
    document = bento(
        service("Studio", "DigitArchive"), service("DigitArchive", "index", http={"port": 8080}), service("index")
    )
    objects = rule(document)
    assert [name for kind, name in objects if kind == "Service"] == [
        "digit-studio",
        "digit-studio-digit-archive",
        "digit-studio-index",
    ]
    start = [SERVE[0], "-m", "bentoml_cli._internal.start", "start-http-server", "/home/bentoml/bento"]
    start += ["--service-name"]
    assert container(objects)["command"] == [
        *start,
        "Studio",
        "--depends",
        "DigitArchive=http://digit-studio-digit-archive:8080",
    ]
    assert container(objects, "digit-studio-digit-archive")["command"] == [
        *start,
        "DigitArchive",
        "--depends",
        "index=http://digit-studio-index:3000",
    ]
    assert container(objects, "digit-studio-index")["command"] == [*start, "index"]
    assert objects["Service", "digit-studio-digit-archive"]["spec"]["ports"] == [
        {"name": "http", "port": 8080, "targetPort": "http"}
    ]


@pytest.mark.parametrize("elsewhere", [{"url": "http://other:3000"}, {"deployment": "other"}])
def test_a_service_that_is_addressed_elsewhere_runs_elsewhere(rule, elsewhere):
    objects = rule(bento(service("Studio", {"service": "Archive"} | elsewhere), service("Archive")))
    assert list(objects) == [("Deployment", "digit-studio"), ("Service", "digit-studio")]


def test_bentoml_starts_a_service_with_the_words_of_the_manifest(bentoml):
    code = (
        "import json; from bentoml_cli._internal.start import build_start_command as c;"
        "o = {w: [p.multiple, p.envvar] for p in c().commands['start-http-server'].params for w in p.opts};"
        "print(json.dumps({w: o[w] for w in ('--service-name', '--depends', '--port', 'bento')}))"
    )
    told = json.loads(bentoml.ask(code))
    assert told["--depends"][0]
    assert told["--port"][1] == "BENTOML_PORT"


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"cpu": 2, "memory": 4}, {"cpu": "2", "memory": "4Gi"}),
        ({"cpu": 0.5, "memory": 1.5}, {"cpu": "500m", "memory": "1536Mi"}),
        ({"cpu": "250m", "memory": "512Mi"}, {"cpu": "250m", "memory": "512Mi"}),
        ({"cpu": "1.5", "memory": "1G"}, {"cpu": "1.5", "memory": "1G"}),
        ({"cpu": 0.1, "memory": 0.1}, {"cpu": "100m", "memory": "107374182"}),
        ({"gpu": 2, "gpu_type": "nvidia-l4"}, {"nvidia.com/gpu": "2"}),
        ({"gpu": 1.0}, {"nvidia.com/gpu": "1"}),
        ({"gpu": 1, "gpu_type": "amd-mi300x"}, {"amd.com/gpu": "1"}),
    ],
)
def test_resources_are_requests_and_limits(rule, resources, expected):
    assert quantities(resources, "here") == expected
    objects = rule(bento(service("Studio", resources=resources)))
    assert container(objects)["resources"] == {"requests": expected, "limits": expected}


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"gpu": 0.5}, "whole GPUs"),
        ({"gpu": True}, "whole GPUs"),
        ({"gpu_type": "nvidia-l4"}, "Set resources.gpu"),
        ({"gpu": 1, "tpu_type": "v5e-1x1"}, "resources.tpu_type"),
        ({"memory": "1"}, "a size with a unit, such as"),
        ({"memory": "2GB"}, "a size with a unit, such as"),
        ({"memory": "0Gi"}, "a size with a unit, such as"),
        ({"memory": -1}, r"a number \(in GiB\)"),
        ({"cpu": "two"}, "a number of cores"),
        ({"cpu": "0m"}, "a number of cores"),
        ({"cpu": 0.0001}, "millicores"),
        ({"cpu": float("nan")}, "a number of cores"),
    ],
)
def test_resources_that_a_cluster_cannot_give_are_rejected_with_the_service(rule, resources, message):
    with pytest.raises(BentoError, match=message) as caught:
        rule(bento(service("Studio", resources=resources)))
    assert "service 'Studio'" in str(caught.value)


def test_probes_ask_where_the_service_answers(rule):
    objects = rule(
        bento(service("Studio", endpoints={"livez": "/v1/livez", "readyz": "/v1/readyz"})), startup_timeout_seconds="61"
    )
    told = container(objects)
    assert told["livenessProbe"]["httpGet"] == {"path": "/v1/livez", "port": "http"}
    assert told["readinessProbe"]["httpGet"]["path"] == "/v1/readyz"
    assert told["startupProbe"]["failureThreshold"] * told["startupProbe"]["periodSeconds"] >= 61
    plain = container(rule(bento(service("Studio"))))
    assert [plain[f"{which}Probe"]["httpGet"]["path"] for which in ("liveness", "readiness")] == ["/livez", "/readyz"]


def test_a_container_is_not_root_and_writes_to_its_scratch_alone(rule):
    objects = rule(bento(service("Studio")), "--writable", "/home/bentoml/.cache")
    security = pod(objects)["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"], security["runAsGroup"]) == (True, 1034, 1034)
    assert container(objects)["securityContext"]["readOnlyRootFilesystem"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container(objects)["volumeMounts"]}
    assert list(mounts) == ["/tmp", "/home/bentoml/.cache"]
    assert [volume["name"] for volume in pod(objects)["volumes"]] == list(mounts.values())
    assert variables(objects)["BENTOML_HOME"].startswith("/tmp/"), "tasks keep their results there"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--writable", "/home/bentoml/.cache", *pair("--env", "A", "1"), *pair("--secret", "KEY", "keys/iris.key")],
        [*pair("--replicas", "Studio", "3")],
    ],
)
@pytest.mark.parametrize("root", [[], ["--writable", "/"]])
def test_pods_meet_the_restricted_standard(rule, words, root):
    """The fields of Kubernetes' pod security standard; by hand, k8s.io/pod-security-admission accepts these manifests."""
    document = bento(service("Studio", "Archive", resources={"gpu": 1}), service("Archive"))
    objects = rule(document, *words, *root)
    pods = [each["spec"]["template"]["spec"] for (kind, _), each in objects.items() if kind == "Deployment"]
    assert len(pods) == 2
    for spec in pods:
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"} & spec.keys()
        assert {kind for volume in spec.get("volumes", ()) for kind in volume} <= {"name", "emptyDir"}
        security = dict(spec["securityContext"])
        assert security.pop("seccompProfile") == {"type": "RuntimeDefault"}
        assert security == {"runAsNonRoot": True, "runAsUser": 1034, "runAsGroup": 1034, "fsGroup": 1034}
        for each in spec["containers"]:
            assert not any("hostPort" in port for port in each["ports"])
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": not root,
            }


def test_a_container_that_may_write_has_the_home_of_its_image(rule):
    objects = rule(bento(service("Studio")), "--writable", "/", "--writable", "/var/cache")
    assert not container(objects)["securityContext"]["readOnlyRootFilesystem"]
    assert "volumes" not in pod(objects)
    assert "BENTOML_HOME" not in variables(objects)


def test_all_pods_have_the_fields_of_the_file(rule):
    document = bento(service("Studio", "Archive"), service("Archive"))
    plain = rule(document)
    objects = rule(document, *rule.pod_spec(POD_SPEC))
    for name in ("digit-studio", "digit-studio-archive"):
        fields = {key: value for key, value in pod(objects, name).items() if key not in pod(plain, name)}
        assert fields == yaml.safe_load(POD_SPEC)
        assert pod(plain, name).items() <= pod(objects, name).items()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("volumes: []\ncontainers: []", "pod_spec: the manifest sets containers, volumes of Pods. Remove the field"),
        ("securityContext: null", "pod_spec: the manifest sets securityContext of Pods. Remove the field"),
        ("- nodeSelector", "svc/pod.yaml: expected a mapping"),
        ("a: [", "svc/pod.yaml:1: invalid YAML"),
        ("", "svc/pod.yaml: expected a mapping"),
        ("a: 1\na: 2", "svc/pod.yaml:2: "),
    ],
)
def test_fields_that_pods_cannot_have_are_rejected(rule, text, message):
    with pytest.raises(BentoError, match=message):
        rule(bento(service("Studio")), *rule.pod_spec(text))


def test_each_field_that_the_manifest_sets_is_known(rule):
    assert pod(rule(bento(service("Studio")))).keys() == set(_POD_FIELDS)


def test_pods_for_openshift_leave_the_ids_to_it(rule):
    """The rules of `restricted-v2`: other IDs, also of the volumes' group, are out of the range of a namespace."""
    spec = pod(rule(bento(service("Studio")), openshift="1"))
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    [one] = spec["containers"]
    assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert one["securityContext"]["allowPrivilegeEscalation"] is False
    assert {kind for volume in spec["volumes"] for kind in volume} == {"name", "emptyDir"}


@pytest.mark.parametrize(
    ("gpus", "words", "expected"),
    [(1, [], False), (2, [], True), (0, ["--writable", "/dev/shm"], True), (4, ["--writable", "/dev/shm"], True)],
)
@pytest.mark.parametrize("root", [[], ["--writable", "/"]])
def test_services_with_several_gpus_share_memory(rule, gpus, words, expected, root):
    config = {"resources": {"gpu": gpus}} if gpus else {}
    objects = rule(bento(service("Studio", **config)), *words, *root)
    volumes = [volume for volume in pod(objects).get("volumes", ()) if volume["name"] == "shared-memory"]
    mounts = [mount for mount in container(objects).get("volumeMounts", ()) if mount["mountPath"] == "/dev/shm"]
    assert volumes == ([{"name": "shared-memory", "emptyDir": {"medium": "Memory"}}] if expected else [])
    assert mounts == ([{"name": "shared-memory", "mountPath": "/dev/shm"}] if expected else [])


@pytest.mark.parametrize("user", ["", "0", "root", "0:0"])
def test_an_image_of_root_is_not_said_to_be_another(rule, user):
    security = pod(rule(bento(service("Studio")), config={"User": user}))["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"]) == (False, 0)


def test_a_user_without_a_number_is_rejected(rule):
    with pytest.raises(BentoError, match="'bentoml', but Kubernetes can verify a non-root user only by numeric ID"):
        rule(bento(service("Studio")), config={"User": "bentoml"})


def test_a_variable_without_a_value_has_to_be_in_a_secret(rule):
    envs = [
        {"name": "TOKEN", "value": "", "stage": "all"},
        {"name": "LEVEL", "value": "3", "stage": "all"},
        {"name": "BUILD_TOKEN", "value": "", "stage": "build"},
        {"name": "GIVEN", "value": "", "stage": "runtime"},
        {"name": "MODE", "value": "", "stage": "runtime"},
        {"name": "KEY", "value": "", "stage": "all"},
        {"name": "COLOUR", "value": "", "stage": "all"},
    ]
    words = [
        *pair("--env", "MODE", "$(id) no"),
        *pair("--secret", "KEY", "keys/iris.key"),
        *pair("--config-map", "COLOUR", "colours/main"),
    ]
    told = variables(
        rule(bento(service("Studio"), envs=envs), *words, config={"Env": ["GIVEN=1", "LEVEL=3", "BENTO_PATH=/b"]})
    )
    assert told.pop("BENTOML_HOME")
    assert told == {
        "BENTOML_PORT": "3000",
        "COLOUR": {"configMapKeyRef": {"key": "main", "name": "colours", "optional": False}},
        "KEY": {"secretKeyRef": {"key": "iris.key", "name": "keys", "optional": False}},
        "MODE": "$$(id) no",
        "TOKEN": {"secretKeyRef": {"key": "TOKEN", "name": "digit-studio-env", "optional": False}},
    }


def expanded(text, values):
    """What Kubernetes makes of a string in `env`, `command` and `args` (its package `expansion`)."""
    return re.sub(
        r"\$(?:\$|\(([^)]*)\))",
        lambda match: "$" if match[1] is None else values.get(match[1], f"$({match[1]})"),
        text,
        flags=re.DOTALL,
    )


DOLLARS = (
    "$", "$$", "$$$", "a$$b", "$(SECRET)", "$$(SECRET)", "$$$(SECRET)", "$(", "$()", "$SECRET", "x$", "$)(", "$(\n)",
)  # fmt: skip


@pytest.mark.parametrize("value", DOLLARS)
def test_a_container_sees_values_and_arguments_as_they_were_written(rule, value):
    document = bento(service("Studio", "Archive"), service("Archive"))
    words = [*pair("--env", "V", value), *pair("--secret", "SECRET", "keys/a")]
    objects = rule(document, *words, config={"Env": [f"BENTO_PATH=/srv/{value}"]})
    assert expanded(variables(objects)["V"], {"SECRET": "leaked"}) == value
    assert f"/srv/{value}" in [expanded(word, {"SECRET": "leaked"}) for word in container(objects)["command"]]


def test_what_kubernetes_does_not_expand_stays_as_it_is(rule):
    paths = {"livez": "/$live", "readyz": "/$(ready)"}
    objects = rule(bento(service("Studio", endpoints=paths), version="v$1"), "--writable", "/$data")
    probes = [container(objects)[f"{which}Probe"]["httpGet"]["path"] for which in ("liveness", "readiness")]
    assert probes == list(paths.values())
    assert container(objects)["volumeMounts"][-1]["mountPath"] == "/$data"
    annotations = objects["Deployment", "digit-studio"]["metadata"]["annotations"]
    assert annotations["rules-bento/bento"] == "digit_studio:v$1"


def test_a_range_of_replicas_scales_by_the_concurrency_of_the_service(rule):
    document = bento(service("Studio", "Archive", **TRAFFIC), service("Archive", **TRAFFIC))
    objects = rule(document, *pair("--replicas", "Studio", "2-6"), *pair("--replicas", "Archive", "3"))
    assert [name for kind, name in objects if kind == "HorizontalPodAutoscaler"] == ["digit-studio"]
    spec = objects["HorizontalPodAutoscaler", "digit-studio"]["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 6)
    [metric] = spec["metrics"]
    assert metric["pods"]["metric"]["name"] == "bentoml_service_request_in_progress"
    assert metric["pods"]["target"]["averageValue"] == "8"
    assert "replicas" not in objects["Deployment", "digit-studio"]["spec"], "applying it again leaves the number alone"
    archive = objects["Deployment", "digit-studio-archive"]
    assert archive["spec"]["replicas"] == 3
    assert archive["metadata"]["annotations"]["rules-bento/concurrency"] == "8"


@pytest.mark.parametrize(
    ("config", "replicas", "message"),
    [
        ({}, {"Studio": "1-4"}, "Set traffic.concurrency of the service"),
        (TRAFFIC | {"metrics": {"enabled": False}}, {"Studio": "1-4"}, "Enable metrics of the service"),
        (TRAFFIC, {"Studio": "4-1"}, "a range, such as '2' or '1-4'"),
        (TRAFFIC, {"Studio": "0-4"}, "a range, such as '2' or '1-4'"),
        (TRAFFIC, {"Studio": "many"}, "a range, such as '2' or '1-4'"),
        (TRAFFIC, {"studio": "2"}, "'studio' isn't a service of this workload. Valid values: Studio"),
    ],
)
def test_replicas_that_nothing_counts_are_rejected(rule, config, replicas, message):
    words = [word for item in replicas.items() for word in pair("--replicas", *item)]
    with pytest.raises(BentoError, match=message):
        rule(bento(service("Studio", **config)), *words)


STUDIO = bento(service("Studio"))


@pytest.mark.parametrize(
    ("document", "words", "more", "message"),
    [
        (bento(), [], {}, "legacy API of BentoML 1.1"),
        (bento(service("Studio", ssl={"enabled": True})), [], {}, "ssl is enabled"),
        (bento(service("Studio", http={"host": "127.0.0.1"})), [], {}, "which isn't reachable from outside the Pod"),
        (bento(service("Studio", http={"port": 70000})), [], {}, "invalid port 70000"),
        (bento(service("Studio", extra_ports=[3000])), [], {}, "duplicate ports in extra_ports"),
        (bento(service("Studio"), name="1st"), [], {}, "Set app_name"),
        (bento(service("Studio"), name="a" * 64), [], {}, "Set app_name"),
        (bento(service("Studio", "AB", "ab"), service("AB"), service("ab")), [], {}, "objects with the same name"),
        (STUDIO, [], {"config": {"Cmd": ["--port=80"]}}, "which the manifest also sets"),
        (STUDIO, [], {"config": {"Entrypoint": ["/run.sh"]}}, "Set port"),
        (
            bento(service("Studio", "A"), service("A")),
            [],
            {"config": {"Cmd": ["--timeout", "9"]}},
            "services Studio, A run in separate Pods",
        ),
        (STUDIO, [], {"repository": "localhost:5000/a:latest"}, "expected a repository without a tag or digest"),
        (STUDIO, [], {"startup_timeout_seconds": "0"}, "startup_timeout_seconds"),
        (STUDIO, ["--writable", "cache"], {}, "Use an absolute path"),
        (STUDIO, ["--writable", "//"], {}, "Use an absolute path"),
        (STUDIO, pair("--env", "BENTOML_PORT", "1"), {}, "also sets this variable"),
        (STUDIO, pair("--secret", "KEY", "keys"), {}, "Use NAME/KEY"),
        (
            STUDIO,
            [*pair("--secret", "KEY", "keys/a"), *pair("--env", "KEY", "1")],
            {},
            "KEY: the manifest or another attribute also sets",
        ),
    ],
)
def test_what_a_manifest_cannot_say_is_rejected(rule, document, words, more, message):
    with pytest.raises(BentoError, match=message):
        rule(document, *words, **more)


def paths(value, *path):
    """The path of each value in a document, and the whole one's."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths(inner, *path, key)


def test_a_document_of_others_is_read_or_rejected(rule):
    """As an imported Bento has it: each value of bento.yaml and of the image's config left out, and of other types."""
    config = {
        "traffic": {"concurrency": 8},
        "endpoints": {"livez": "/l"},
        "metrics": {"namespace": "n"},
        "http": {"port": 80},
        "resources": {"cpu": 1, "gpu": 1, "gpu_type": "x"},
        "ssl": {"enabled": False},
        "extra_ports": [4000],
    }
    whole = {
        "document": bento(
            service("Studio", "A", **config), service("A"), envs=[{"name": "A", "value": "", "stage": "all"}]
        ),
        "config": {"User": "1:1", "Entrypoint": SERVE, "Cmd": ["--timeout=9"], "Env": ["A=1", "BENTO_PATH=/b"]},
    }
    told = 0
    for path in list(paths(whole))[1:]:
        for value in (..., None, 5, -1.5, True, "", "x", [], [5], {}, {"x": 5}, [[]], [{}], 10**400):
            changed = json.loads(json.dumps(whole))
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            if value is ...:
                del inner[path[-1]]
            else:
                inner[path[-1]] = value
            if not isinstance(changed.get("document"), dict) or not isinstance(changed.get("config"), dict):
                continue
            try:
                rule(changed["document"], config=changed["config"])
            except BentoError as error:  # and no other
                told += bool(str(error))
    assert told > 100


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (bento(service("Studio", "B")), "bento.yaml: the service 'B' is missing from services"),
        (bento(service("Studio"), entry_service="Gone"), "bento.yaml: the service 'Gone' is missing from services"),
        (bento(service("Studio"), services=5), "bento.yaml: services: expected a list, got a number"),
        (bento(service("Studio"), services={"a": 1}), "bento.yaml: services: expected a list, got a mapping"),
        (bento(service("Studio"), envs=[{"value": "x"}]), r"bento.yaml: envs\[0\].name is missing"),
        (bento(service("Studio", traffic={"concurrency": "8"})), "traffic.concurrency: expected a number"),
    ],
)
def test_a_damaged_document_is_rejected_by_its_key(rule, document, message):
    with pytest.raises(BentoError, match=message):
        rule(document)


def test_an_env_without_a_stage_is_needed_at_run_time(rule):
    objects = rule(bento(service("Studio"), envs=[{"name": "KEY"}]), *pair("--secret", "KEY", "keys/a"))
    assert "KEY" in variables(objects)


def test_an_image_with_an_entrypoint_of_its_own_says_where_it_listens(rule):
    objects = rule(bento(service("Studio")), port="8080", config={"Entrypoint": ["/run.sh", "--port", "8080"]})
    assert container(objects)["ports"] == [{"name": "http", "containerPort": 8080}]


@pytest.mark.parametrize(
    "text", ["1e3", "0x1f", "yes", "y", "null", "1:30", "012", "", "a: b", "é\n", "- a", "~", "1_0"]
)
def test_a_text_is_a_text_for_every_reader_of_yaml(text):
    assert yaml.safe_load(to_yaml(text)) == text
    assert to_yaml(text)[0] in "\"'", "YAML 1.2 and Go see numbers where PyYAML sees none"
