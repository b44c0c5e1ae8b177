"""Pushes the image of the example to registries with `bazel run`, reads it with skopeo, and loads it with podman."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from container import call, post, wait
from server import free_port

from tests.registry import servers
from tests.registry.relay import UP, Relay

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workbench import Checkout, Result, Workbench

IMAGE = "tests/images/gzip_image"
SERVICE = "examples/iris/service.py"
BUILD = """\
load("//rules:defs.bzl", "bento_image", "bento_load", "bento_model", "bento_model_image")
load("//rules:defs.bzl", "bento_package", "bento_push", "bento_push_all")

bento_push(
    name = "push",
    src = "//tests/images:gzip_image",
    repositories = [
        "{plain}/team/iris",
        "{secured}/{{STABLE_TEAM}}/iris",
    ],
    stamp = 1,
    remote_tags = ["v1-{{STABLE_TEAM}}"],
)

bento_push(name = "push_iris", src = "//tests/images:gzip_image", repositories = ["{plain}/all/iris"])

bento_push(name = "push_reader", src = ":reader_image", repositories = ["{plain}/all/reader"])

bento_push_all(
    name = "push_all",
    pushes = [
        ":push_iris",
        ":push_reader",
    ],
)

bento_load(name = "load", src = "//tests/images:gzip_image", reference = "iris:loaded")

bento_model(name = "shards", srcs = ["names.json", "one.pt", "two.pt"], tag = "shards")

bento_model_image(name = "shards_image", compression = "gzip", model = ":shards")

bento_model_image(
    name = "shards_for_kserve",
    format = "kserve",
    model = ":shards",
)

bento_package(
    name = "reader",
    srcs = ["service.py"],
    models = [":shards"],
    # Those of the example, whose layers are there.
    requirements = ["@pypi//bentoml", "@pypi//scikit_learn"],
    service = "service:Reader",
)

bento_image(
    name = "reader_image",
    base = "//tests/images:gzip_base",
    bento = ":reader",
    compression = "gzip",
    models = "image",
)
"""
READER = """\
from pathlib import Path

import bentoml

@bentoml.service
class Reader:
    shards = bentoml.models.BentoModel("shards:latest")

    @bentoml.api
    def read(self) -> list[str]:
        return [path.read_text() for path in sorted(Path(self.shards.path).glob("*.pt"))]
"""
STATUS = "#!/bin/sh\necho STABLE_TEAM flora\n"
CONTAINER = "travelling"
# Limits that a user without privileges can set.
# The user in OpenShift: any number, in the group root.
RESTRICTED = ("--user=1000680000:0", "--cap-drop=all", "--security-opt=no-new-privileges")
LIMITS = ("--network=host", "--read-only", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")


def images_are_pushed_and_pulled(bench: Workbench) -> str:
    """Push to two registries, one with a password. The first push sends everything, later pushes only changes."""
    need("skopeo")
    checkout = bench.plain
    binary = registry_program(bench)
    with (
        servers.serve(binary, bench.directory / "registry") as plain,
        servers.serve(binary, bench.directory / "secured", htpasswd=True) as secured,
    ):
        write_package(checkout, plain.host, secured.host)
        shown = {"DOCKER_CONFIG": str(docker_config(bench.directory / "docker", secured.host))}
        refused = run(checkout).failed(secured.host)
        assert "Traceback" not in refused.errors, refused.told()
        pushed = run(checkout, "--", "--tag", "mine", **shown).succeeded()
        digest = checkout.read(f"bazel-bin/{IMAGE}.digest").strip()
        names = [f"{plain.host}/team/iris", f"{secured.host}/flora/iris"]
        assert pushed.output.split() == [f"{name}@{digest}" for name in names], pushed.told()
        for name in names:
            skopeo_reads(bench.directory / "read", name, digest)
        assert listed_tags(plain) == ["mine", "v1-flora"]
        bill = (checkout.root / f"bazel-bin/{IMAGE}.cdx.json").read_bytes()
        assert attached(plain, digest) == bill
        again = counted(checkout, plain)
        # The registry verifies that it has the blobs of the image and of the SBOM.
        assert again.writes == [
            f"PUT /v2/team/iris/manifests/{digest}",
            f"PUT /v2/team/iris/manifests/{attached_digest(plain, digest)}",
        ], again.writes
        both = checkout.bazel("run", "//tests/travel:push_all").succeeded()
        for name in ("iris", "reader"):
            assert f"{plain.host}/all/{name}@sha256:" in both.output, both.told()
        mounted = re.search(r"pushed 2 images: .* sent .*, (\d+) mounted, 0 exist already", both.errors)
        assert mounted, both.told()
        assert int(mounted[1]) > len(json.loads(checkout.read(f"bazel-bin/{IMAGE}.manifest.json"))["layers"]), (
            both.told()
        )
        original = checkout.read(SERVICE)
        checkout.edit(SERVICE, "0 setosa,", "Species: 0 setosa,")
        changed = counted(checkout, plain)
        checkout.write(SERVICE, original)
    # The layer, the config, and the SBOM; the manifest with two tags, the SBOM's manifest, and the referrers list.
    kinds = [re.sub(r"/v2/team/iris/|/[-0-9a-f]{36}.*|(?<=sha256.)[0-9a-f]{64}", "", line) for line in changed.writes]
    assert sorted(kinds) == [
        *["POST blobs/uploads/"] * 3,
        *["PUT blobs/uploads"] * 3,
        "PUT manifests/mine",
        "PUT manifests/sha256-",
        "PUT manifests/sha256:",
        "PUT manifests/v1-flora",
    ], changed.writes
    assert changed.up < 150_000, f"{changed.up} bytes for a changed line"
    total = sum(layer["size"] for layer in json.loads(checkout.read(f"bazel-bin/{IMAGE}.manifest.json"))["layers"])
    return f"{total / 1e6:.0f} MB pushed; again: {again.up} bytes in heads; a changed line: {changed.up / 1e3:.0f} kB"


def images_are_loaded(bench: Workbench) -> str:
    """Load the output of bento_load with podman, and run the image. Read the output group with skopeo."""
    need("podman", "runc", "skopeo")
    checkout = bench.plain
    write_package(checkout, "registry.invalid", "registry.invalid")
    # Not vfs, because each of its layers is a copy of all lower layers.
    own = bench.directory
    store = ["--root", f"{own}/store", "--runroot", f"{own}/runroot", "--storage-driver", "overlay"]
    bin_directory = bench.directory / "podman-bin"
    bin_directory.mkdir()
    # `bazel run` starts programs with the provisioned /usr, but podman is the host's.
    enter = ["nsenter", f"--mount=/proc/{os.getpid()}/ns/mnt", "--", shutil.which("podman") or "", *store]
    (bin_directory / "podman").write_text(f'#!/bin/sh\nexec {" ".join(enter)} "$@"\n')
    (bin_directory / "podman").chmod(0o755)
    path = f"--run_under=env PATH={bin_directory}:/usr/bin:/bin"
    try:
        loaded = checkout.bazel("run", path, "//tests/travel:load", "--", "--backend", "podman").succeeded()
        config = json.loads(checkout.read(f"bazel-bin/{IMAGE}.config.json"))
        config_digest = hashlib.sha256((checkout.root / f"bazel-bin/{IMAGE}.config.json").read_bytes()).hexdigest()
        [found] = json.loads(call("podman", *store, "inspect", "--type=image", "localhost/iris:loaded"))
        assert found["Id"] == config_digest, (found["Id"], loaded.told())
        assert found["RootFS"]["Layers"] == config["rootfs"]["diff_ids"]
        assert found["Config"]["User"] == "1034:1034"
        engine = ["podman", *store, "--runtime=runc", "--cgroup-manager=cgroupfs"]
        with podman_runs(engine, "localhost/iris:loaded") as (address, seconds):
            assert post(f"{address}/classify") == [0, 2]
            user = [*engine, "exec", CONTAINER, "/app/.venv/bin/python", "-c", "import os; print(os.getuid())"]
            assert call(*user) == "1034\n"
        a_model_is_mounted(checkout, engine)
        a_model_is_mounted_as_kserve_does(checkout, engine)
        a_program_answers(checkout, engine)
    finally:
        # The driver mounts its directory over itself, possibly more than once.
        unmount = ["umount", "--lazy", f"{bench.directory}/store/overlay"]
        while subprocess.run(unmount, check=False, capture_output=True).returncode == 0:
            pass
    checkout.build(f"//{IMAGE.replace('/gzip', ':gzip')}", "--output_groups=+docker_archive")
    archive = (checkout.root / f"bazel-bin/{IMAGE}.tar").resolve()
    for kind in ("docker-archive", "oci-archive"):
        raw = json.loads(call("skopeo", "inspect", "--config", "--raw", f"{kind}:{archive}"))
        assert raw == config, f"{kind}: {raw}"
    layers = len(config["rootfs"]["diff_ids"])
    told = f"{layers} layers in podman's store, with the digest of the config as id; ready after {seconds:.1f} s"
    return f"{told}; a model of several layers, mounted; programs answer"


def a_model_is_mounted(checkout: Checkout, podman: list[str]) -> None:
    """Mount the image of a model at the Bento's path for it, as any user. Without it, the service reports the model."""
    targets = [f"//tests/travel:{name}" for name in ("reader_image", "shards_image")]
    checkout.build(*targets, "--output_groups=docker_archive")
    for name in ("reader_image", "shards_image"):
        call(*podman, "load", "--input", str((checkout.root / f"bazel-bin/tests/travel/{name}.tar").resolve()))
    mount = "--mount=type=image,source=localhost/shards_image:latest,destination=/mnt/models/shards"
    with podman_runs(podman, "localhost/reader_image:latest", mount, *RESTRICTED) as (address, _):
        assert post(f"{address}/read") == ["one", "two"]
    ends = subprocess.run(
        [*podman, "run", *LIMITS, "--rm", "localhost/reader_image:latest"], check=False, capture_output=True, text=True
    )
    assert ends.returncode != 0
    assert re.search(r"shards:\w+ is not mounted\. .* at /mnt/models/shards\.", ends.stderr), ends.stderr


def a_program_answers(checkout: Checkout, podman: list[str]) -> None:
    """Run the images of two programs, a server of FastAPI and MLflow's, as the user of OpenShift."""
    checkout.build("//examples/api:server_image", "//examples/mlflow:server_image", "--output_groups=docker_archive")
    for name, readiness, path, parameter, answer in (
        ("api", "readyz", "classify", "rows", [0, 2]),
        ("mlflow", "ping", "invocations", "inputs", {"predictions": [0, 2]}),
    ):
        archive = (checkout.root / f"bazel-bin/examples/{name}/server_image.tar").resolve()
        call(*podman, "load", "--input", str(archive))
        image = "localhost/server_image:latest"
        command = json.loads(call(*podman, "image", "inspect", "--format={{json .Config.Cmd}}", image))
        with podman_runs(podman, image, *RESTRICTED, readiness=readiness, command=command) as (address, _):
            assert post(f"{address}/{path}", parameter) == answer
    a_line_reaches_only_the_last_layer(checkout)


def a_line_reaches_only_the_last_layer(checkout: Checkout) -> None:
    """Add a comment to the program: two actions run, and all layers below the last one stay."""
    manifest, source = "bazel-bin/examples/api/server_image.manifest.json", "examples/api/server.py"
    before = json.loads(checkout.read(manifest))["layers"]
    checkout.write(source, checkout.read(source) + "\n# A remark.\n")
    built = checkout.build("//examples/api:server_image")
    after = json.loads(checkout.read(manifest))["layers"]
    assert built.ran == ["BentoImage", "BentoLayer"], built.ran
    assert before[:-1] == after[:-1]
    assert before[-1]["digest"] != after[-1]["digest"]
    assert after[-1]["size"] < 10_000, after[-1]  # bytes


def a_model_is_mounted_as_kserve_does(checkout: Checkout, podman: list[str]) -> None:
    """Bind `/models` of the image, as container runtimes do for `subPath: models`: all files are in that directory."""
    checkout.build("//tests/travel:shards_for_kserve", "--output_groups=+docker_archive")
    call(*podman, "load", "--input", str((checkout.root / "bazel-bin/tests/travel/shards_for_kserve.tar").resolve()))
    name = "localhost/shards_for_kserve:latest"
    models = f"{call(*podman, 'image', 'mount', name).strip()}/models"
    code = "import pathlib; print(sorted((p.name, p.read_text()) for p in pathlib.Path('/mnt/models').iterdir())[1:])"
    server = ["--entrypoint", "/app/.venv/bin/python", "localhost/reader_image:latest", "-c", code]
    shown = call(*podman, "run", *LIMITS, *RESTRICTED, "--rm", f"--volume={models}:/mnt/models:ro", *server)
    call(*podman, "image", "unmount", name)
    assert shown == "[('names.json', '{}'), ('one.pt', 'one'), ('two.pt', 'two')]\n", shown


@contextmanager
def podman_runs(
    podman: list[str], image: str, *options: str, readiness: str = "readyz", command: Sequence[str] = ()
) -> Iterator[tuple[str, float]]:
    """Run the image read-only with podman. Yields the address, and the seconds until the first response.

    `command` precedes the port, if the arguments of a container replace the command of the image.
    """
    port = free_port()
    named = ["--detach", f"--name={CONTAINER}"]
    call(*podman, "run", *LIMITS, *options, *named, image, *command, "--port", str(port))
    try:
        address = f"http://127.0.0.1:{port}"
        running = [*podman, "inspect", "--format={{.State.Running}}", CONTAINER]
        logs = [*podman, "logs", CONTAINER]
        yield address, wait(f"{address}/{readiness}", lambda: call(*running) == "true\n", lambda: call(*logs))
    finally:
        call(*podman, "rm", "--force", "--time=10", CONTAINER)


def need(*tools: str) -> None:
    missing = [tool for tool in tools if not shutil.which(tool)]
    assert not missing, f"not installed: {', '.join(missing)}"


def registry_program(bench: Workbench) -> str:
    """Unpack docker-registry from the locked Debian package, and return the path of the program."""
    directory = bench.directory / "docker-registry"
    if not directory.exists():
        deb = locked_deb(bench, "docker-registry")
        directory.mkdir()
        servers.unpack(deb, directory)
    return str(directory / "usr/bin/docker-registry")


def locked_deb(bench: Workbench, name: str) -> Path:
    """Return the file of a Debian package that the tests lock."""
    target = f"@registry_debs//{name}"
    bench.plain.build(target)
    listed = bench.plain.bazel("cquery", "--output=files", target).succeeded().output.split()
    base = bench.plain.bazel("info", "execution_root").succeeded().output.strip()
    [deb] = [path for path in listed if f"/{name}_" in path]
    return Path(base, deb)


def write_package(checkout: Checkout, plain: str, secured: str) -> None:
    checkout.write("tests/travel/BUILD.bazel", BUILD.format(plain=plain, secured=secured))
    checkout.write("tests/travel/service.py", READER)
    checkout.write("tests/travel/names.json", "{}")
    for shard in ("one", "two"):
        checkout.write(f"tests/travel/{shard}.pt", shard)
    checkout.write("tests/travel/status.sh", STATUS)
    (checkout.root / "tests/travel/status.sh").chmod(0o755)


def run(checkout: Checkout, *arguments: str, **variables: str) -> Result:
    status = f"--workspace_status_command={checkout.root}/tests/travel/status.sh"
    return checkout.bazel("run", status, "//tests/travel:push", *arguments, **variables)


def docker_config(directory: Path, host: str) -> Path:
    """Write a directory with a configuration as `docker login` does."""
    directory.mkdir()
    auth = base64.b64encode(f"{servers.USER}:{servers.PASSWORD}".encode()).decode()
    (directory / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return directory


def skopeo_reads(directory: Path, name: str, digest: str) -> None:
    """Copy the image with skopeo, which verifies each digest, and check that the copy is the built image."""
    login = f"--src-creds={servers.USER}:{servers.PASSWORD}"
    shutil.rmtree(directory, ignore_errors=True)
    source = ["--src-tls-verify=false", login, f"docker://{name}:v1-flora"]
    call("skopeo", "copy", "--quiet", "--preserve-digests", *source, f"oci:{directory}:copied")
    assert json.loads(call("skopeo", "inspect", f"oci:{directory}:copied"))["Digest"] == digest


def listed_tags(server: servers.Server) -> list[str]:
    """Return the tags except referrers tags, which contain a digest."""
    tags = json.loads(servers.get(server, "/v2/team/iris/tags/list")[1])["tags"]
    return sorted(tag for tag in tags if not tag.startswith("sha256-"))


def attached(server: servers.Server, digest: str) -> bytes:
    """Return the SBOM that refers to an image, by the referrers tag of older registries."""
    manifest = json.loads(servers.get(server, f"/v2/team/iris/manifests/{attached_digest(server, digest)}")[1])
    assert manifest["subject"]["digest"] == digest
    return servers.get(server, f"/v2/team/iris/blobs/{manifest['layers'][0]['digest']}")[1]


def attached_digest(server: servers.Server, digest: str) -> str:
    """Return the digest of the SBOM's manifest."""
    index = json.loads(servers.get(server, f"/v2/team/iris/manifests/{digest.replace(':', '-')}")[1])
    [entry] = index["manifests"]
    assert entry["artifactType"] == "application/vnd.cyclonedx+json"
    digest_of_manifest: str = entry["digest"]
    return digest_of_manifest


class Counted:
    """Counts the write requests and the sent bytes of a push."""

    def __init__(self, relay: Relay) -> None:
        self.writes = [line for line in relay.requests if not line.startswith(("HEAD", "GET"))]
        self.up = relay.carried(UP)


def counted(checkout: Checkout, server: servers.Server) -> Counted:
    """Push again through a counting relay."""
    with Relay(server.port) as relay:
        run(checkout, "--", "--repository", f"{relay.host}/team/iris", "--tag", "mine").succeeded()
        return Counted(relay)
