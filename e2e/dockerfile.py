"""Builds images with Dockerfiles of Bentos, from rules_bento and from BentoML, and serves the images."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders import with_programs_of_host
from container import call, wait
from distribution import need
from registry_server import RegistryServer
from server import SECONDS, free_port

if TYPE_CHECKING:
    from workbench import Workbench

PACKAGE = "dockerfiles"
PROJECT = """\
[project]
name = "sum"
version = "0"
requires-python = ">=3.13"

[tool.bento.image]
entrypoint = "sh -c 'test $(echo 1 + 1 | bc) = 2'"
"""
LOCK = """\
version = 1
revision = 3
requires-python = ">=3.13"

[[package]]
name = "sum"
version = "0"
source = { virtual = "." }
"""
# Images can't be pulled, so the base is built from Debian's packages, with the name in the Dockerfiles.
SUITE, VERSION = "trixie", "3.13"
BASE = f"docker.io/library/python:{VERSION}-slim"
# Limits that a user without privileges can set.
RUN = ["--network=host", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]
FILES = {
    "BUILD.bazel": """\
load("//rules:defs.bzl", "bento_package")

[
    bento_package(
        name = name,
        srcs = ["s.py", "s.sh", "service.py", "T.j2"],
        bentofile = name + ".yaml",
        requirements = ["@pypi//bentoml"],
        version = "v1",
    )
    for name in ["shell", "template"]
]
""",
    "service.py": """\
import os
import pathlib
import shutil
import sys

import bentoml


@bentoml.service
class Facts:
    @bentoml.api
    def tell(self) -> dict:
        made = {path.name: path.read_text() for path in pathlib.Path("/opt/made").iterdir()}
        variables = {name: os.environ.get(name) for name in ("ALL", "RUN")}
        python = "%d.%d" % sys.version_info[:2]
        return {"made": made, "python": python, "tool": bool(shutil.which("bc")), "uid": os.getuid(), **variables}
""",
    "s.sh": "#!/bin/sh\nset -e\nmkdir /opt/made\necho 1 + 1 | bc > /opt/made/shell\n",
    "s.py": "#!/usr/bin/env python3\nimport pathlib\n\nimport bentoml\n\nmade = pathlib.Path('/opt/made')\n"
    "made.mkdir(exist_ok=True)\n(made / 'python').write_text(bentoml.__name__)\n",
    "T.j2": """\
{% extends bento_base_template %}
{% block SETUP_BENTO_COMPONENTS %}
{{ super() }}
RUN mkdir -p /opt/made && echo {{ bento__path }} > /opt/made/template
{% endblock %}
""",
    "shell.yaml": """\
service: service:Facts
docker:
  system_packages: [bc]
  setup_script: s.sh
envs:
  - {name: ALL, value: a b}
  - {name: RUN, value: r, stage: runtime}
""",
    "template.yaml": f"""\
service: service:Facts
docker:
  base_image: {BASE}
  setup_script: s.py
  dockerfile_template: T.j2
""",
}


def dockerfiles_build_serving_images(bench: Workbench) -> str:
    """Build with buildah and run with podman. The first image has BentoML, which renders the second Dockerfile."""
    need("buildah", "mmdebstrap", "podman", "runc")
    for path, text in FILES.items():
        bench.spare.write(f"{PACKAGE}/{path}", text)
    bench.spare.build(f"//{PACKAGE}:shell", f"//{PACKAGE}:template")
    archives = bench.spare.root / "bazel-bin" / PACKAGE
    with tempfile.TemporaryDirectory(prefix="rules_bento-dockerfile-") as name:
        directory = Path(name)
        engine = Engine(directory)
        try:
            began = time.monotonic()
            engine.make_base()
            base = time.monotonic() - began
            context = directory / "shell"
            context.mkdir()
            call("tar", "-xJf", str(archives / "shell.bento"), "-C", str(context))
            assert "--require-hashes" in (context / "env/docker/Dockerfile").read_text("utf-8")
            engine.build("shell", context, context / "env/docker/Dockerfile")
            assert engine.ask("shell", "tell") == {
                "made": {"shell": "2\n"},
                "python": VERSION,
                "tool": True,
                "uid": 1034,
                "ALL": "a b",
                "RUN": "r",
            }
            rendered = engine.render("shell", archives / "template.bento", "facts:v1")
            text = (rendered / "env/docker/Dockerfile").read_text("utf-8")
            assert "rules_bento" not in text, "BentoML's own"
            engine.build("template", rendered, rendered / "env/docker/Dockerfile")
            told = engine.ask("template", "tell")
            assert told["made"] == {"python": "bentoml", "template": "/home/bentoml/bento\n"}
            packages_are_installed(bench, engine, directory)
            with RegistryServer(directory / "registry") as registry:
                the_start_answers(engine, bench.spare.root, directory / "start", f"localhost:{registry.port}")
        finally:
            engine.close()
    return f"of a base of {SUITE} made in {base:.0f} s; ours, and BentoML's own"


def packages_are_installed(bench: Workbench, engine: Engine, directory: Path) -> None:
    """Let apt lock a package for the base, install it without a builder, and run its program in the image."""
    call(*engine.push_command(BASE, f"{directory}/base.oci:base", "oci:"))
    project = directory / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(PROJECT)
    (project / "uv.lock").write_text(LOCK)
    path = with_programs_of_host(directory / "programs", {"apt-cache": [], "apt-get": []})
    base = ["--apt", "bc", "--base", f"oci:{directory}/base.oci"]

    def bento(*words: str) -> None:
        bench.spare.bazel("run", path, "//tools:bento", "--", *words).succeeded()

    bento("lock", str(project), *base)
    bento("image", str(project), *base, "--start", "", f"--output=oci:{directory}/sum.oci")


def the_start_answers(engine: Engine, root: Path, directory: Path, registry: str) -> None:
    """Follow README.md from the installation to an answer of the image, in a container of the base with a registry."""
    text = (root / "README.md").read_text("utf-8").partition("## Start with a uv project\n")[2].partition("\n## ")[0]
    [install] = re.findall(r"`(pip install [^`]+)`", text)
    [main] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    *commands, run, curl = re.findall(r"^\$ (.*)$", text.replace("registry.example.com", registry), re.MULTILINE)
    [printed] = re.findall(r"^\$ curl .*\n(.*)$", text, re.MULTILINE)
    call(*engine.push_command(BASE, base := f"{registry}/python:{VERSION}-slim"))
    directory.mkdir()
    (directory / "main.py").write_text(main, "utf-8")
    shutil.copytree(root / "py", directory / "py", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    *project, init, image = commands
    script = ["python3 -m venv venv", ". venv/bin/activate", install, "mkdir api", "cd api", *project]
    script += ["cp ../main.py .", f"{init.partition('#')[0]}--base {base}", image]
    volume = [f"--volume={directory}:/start", "--workdir=/start"]
    more = [*RUN, "--privileged", "--rm", *volume]  # --start uses namespaces
    call(*engine.podman_command, "run", *more, BASE, "sh", "-exc", "\n".join(script))
    program, verb, *words = shlex.split(run)
    [address] = [word for word in shlex.split(curl)[1:] if not word.startswith("-")]
    port = str(free_port())
    assert (program, verb) == ("podman", "run"), run
    more = [*RUN, f"--env=PORT={port}", "--detach", "--tls-verify=false", "--name=start"]
    call(*engine.podman_command, "run", *more, *words)
    try:
        address = f"http://{address.replace('8000', port)}"
        wait(address, lambda: True, lambda: call(*engine.podman_command, "logs", "start"))
        with urllib.request.urlopen(address, timeout=SECONDS) as response:
            assert response.read().decode() == printed
    finally:
        call(*engine.podman_command, "rm", "--force", "--time=10", "start")


class Engine:
    """Runs buildah and podman with a separate image store."""

    def __init__(self, directory: Path) -> None:
        """Keep all data in the directory."""
        self._directory = directory
        store = ["--root", f"{directory}/images", "--runroot", f"{directory}/run"]
        self._buildah = ["buildah", *store]
        self.podman_command = ["podman", *store, "--runtime=runc", "--cgroup-manager=cgroupfs"]

    def make_base(self) -> None:
        """Create an image of Debian with Python, pip, and the certificates that this machine trusts."""
        root = self._directory / "base.tar"
        certificates = Path("/usr/local/share/ca-certificates")
        hooks = ['rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED']
        # Docker Hub's images of Python have no bytecode of the standard library.
        hooks += ['find "$1"/usr/lib/python3* -name "*.pyc" -delete']
        if any(certificates.glob("*.crt")):
            hooks += [f'cp {certificates}/*.crt "$1{certificates}/"', 'chroot "$1" update-ca-certificates']
        excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "locale", "man")]
        call(
            "mmdebstrap",
            "--quiet",
            "--mode=root",
            "--variant=minbase",
            "--include=ca-certificates,python3,python3-pip,python3-venv",
            '--aptopt=Acquire::Check-Valid-Until "false"',
            "--dpkgopt=force-unsafe-io",  # the image isn't kept after a crash
            *excluded,
            *(f"--customize-hook={hook}" for hook in hooks),
            SUITE,
            str(root),
        )
        bundle = "/etc/ssl/certs/ca-certificates.crt"
        trusting = " ".join(f"{name}={bundle}" for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"))
        dockerfile = self._directory / "base.Dockerfile"
        dockerfile.write_text(
            f"FROM scratch\nADD {root.name} /\nENV {trusting} PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        )
        self.build(BASE, self._directory, dockerfile)

    def build(self, tag: str, context: Path, dockerfile: Path) -> None:
        """Build an image."""
        call(*self.build_command(tag, context, dockerfile))

    def build_command(self, tag: str, context: Path, dockerfile: Path, *more: str) -> list[str]:
        """Return the command that builds an image. RUN instructions can access the network of the machine."""
        options = ["--isolation=chroot", "--network=host", "--pull-never", "--quiet", *more]
        return [*self._buildah, "build", *options, "--tag", tag, "--file", str(dockerfile), str(context)]

    def push_command(self, tag: str, destination: str, transport: str = "docker://") -> list[str]:
        """Return the command that pushes an image to a registry without encryption, or to another transport."""
        return [*self._buildah, "push", "--quiet", "--tls-verify=false", tag, f"{transport}{destination}"]

    def remove(self, tag: str) -> None:
        """Remove an image, and the layers that no other image uses."""
        call(*self._buildah, "rmi", "--force", tag)

    def ask(self, image: str, route: str) -> Any:
        """Start an image with its own command, and send an empty POST request to a route."""
        port = free_port()
        arguments = [image, "--host", "127.0.0.1", "--port", str(port)]
        call(*self.podman_command, "run", *RUN, "--detach", "--name", image, *arguments)
        try:
            return self._answer(image, f"http://127.0.0.1:{port}", route)
        finally:
            call(*self.podman_command, "rm", "--force", "--time=10", image)

    def _answer(self, image: str, address: str, route: str) -> Any:
        request = urllib.request.Request(f"{address}/{route}", b"{}", {"Content-Type": "application/json"})
        wait(f"{address}/readyz", lambda: True, lambda: call(*self.podman_command, "logs", image))
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            return json.load(response)

    def render(self, image: str, archive: Path, tag: str) -> Path:
        """Return the context that `bentoml containerize`, in a container of the image, passes to its builder."""
        out = self._directory / "rendered"
        out.mkdir(mode=0o777)
        out.chmod(0o777)
        shutil.copy(archive, out / "a.bento")
        # This machine runs the builder later.
        (out / "buildah").write_text('#!/bin/sh\nfor context; do :; done\ncp -R "$context" /out/context\n')
        (out / "buildah").chmod(0o755)
        # Not in the Bento's directory, because BentoML rejects templates outside of the current directory.
        script = f"cd /tmp && bentoml import /out/a.bento && bentoml containerize {tag} --backend buildah"
        call(
            *self.podman_command,
            "run",
            *RUN,
            "--rm",
            f"--volume={out}:/out",
            "--env=BENTOML_HOME=/tmp/home",
            "--env=BENTOML_DO_NOT_TRACK=true",
            "--env=PATH=/out:/app/.venv/bin:/usr/bin:/bin",
            image,
            "sh",
            "-c",
            script,
        )
        assert (out / "context/env/docker").is_dir(), "BentoML didn't run a builder"
        return out / "context"

    def close(self) -> None:
        """Remove the containers, and unmount the file systems of the driver."""
        for command in ([*self.podman_command, "rm", "--all", "--force"], [*self._buildah, "rm", "--all"]):
            subprocess.run(command, check=False, capture_output=True)
        # The driver mounts its directory over itself.
        subprocess.run(["umount", str(self._directory / "images/overlay")], check=False, capture_output=True)
