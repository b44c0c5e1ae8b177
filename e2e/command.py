"""Tests the command without Bazel: pip installs it for Debian's newest Python, in the root of tools/bazel."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from enter import provisioned_root
from server import SECONDS, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from workbench import Workbench

# As in tools/bazel.
ENTER = """\
root=$1
shift
mount --rbind /etc /boot
mount --bind -o ro "$root/etc" /etc
mount --bind -o ro "$root/usr" /usr
for name in PIP_CERT REQUESTS_CA_BUNDLE SSL_CERT_DIR SSL_CERT_FILE; do
    eval "value=\\${$name:-}"
    [ -e "$value" ] || unset "$name"
done
exec "$@"
"""
SERVICE = """\
import bentoml


@bentoml.service
class Hello:
    weights = bentoml.models.BentoModel("greeting:latest")

    @bentoml.api
    def greet(self, name: str) -> str:
        from pathlib import Path

        return f"{Path(self.weights.path, 'text').read_text()}, {name}!"
"""
MODEL = """\
import pathlib, bentoml
with bentoml.models.create("greeting") as model:
    pathlib.Path(model.path_of("text")).write_text("Hello")
"""


def command_installs_with_pip(bench: Workbench) -> str:
    """Run the commands on a Bento with a model that BentoML built, and serve the result with BentoML."""
    checkout = bench.checkout("command")
    directory = checkout.root.parent / "installed"
    (directory / "svc").mkdir(parents=True)
    (directory / "svc/service.py").write_text(SERVICE, "utf-8")
    (directory / "svc/bentofile.yaml").write_text("service: service:Hello\npython: {packages: [bentoml]}\n", "utf-8")
    shell = Shell(directory, provisioned_root(checkout.root))
    shell("python3", "-m", "venv", "--without-pip", "venv")
    projects = (f"{checkout.root}/py", f"{checkout.root}/py/bento_cli")
    shell("python3", "-m", "pip", "--python", "venv/bin/python", "install", "-q", *projects, "bentoml")
    shell("venv/bin/python", "-c", MODEL)
    shell("venv/bin/bento", "build", "svc", "--no-lock", "--require-isolation")
    [built] = shell.data("list")
    older = shell.imported_with("bentoml==1.4.15")
    [model] = shell.data("models", "list")
    assert f"tag: {model['tag']}\n" in shell("venv/bin/bento", "get", built["tag"])
    shell("venv/bin/bento", "export", built["tag"], "hello.bento")
    shell("venv/bin/bento", "models", "export", model["tag"], "greeting.bentomodel")
    found = {finding["about"] for finding in shell.data("doctor", code=None)}
    assert {"containers", "store", "uv"} <= found, found
    shell.home = directory / "other"
    shell("venv/bin/bento", "models", "import", "greeting.bentomodel")
    shell("venv/bin/bento", "import", "hello.bento")
    assert [each["tag"] for each in shell.data("list")] == [built["tag"]]
    assert shell.served("hello:latest") == "Hello, Ada!"
    return f"{shell('venv/bin/python', '--version').strip()} builds, lists, exports, imports and serves; {older}"


class Shell:
    """Runs commands in a directory. The root's /usr replaces the /usr of the machine."""

    def __init__(self, directory: Path, root: Path) -> None:
        self.home = directory / "home"
        self._directory = directory
        unprivileged = [] if os.getuid() == 0 else ["--map-root-user"]
        self._enter = ["unshare", *unprivileged, "--mount", "--propagation", "slave", "--", "/bin/sh", "-euc", ENTER]
        self._enter += ["sh", str(root)]

    def __call__(self, *words: str, code: int | None = 0) -> str:
        """Return the output of a command, which must exit with `code`; None allows any exit code."""
        done = subprocess.run(
            [*self._enter, *words],
            cwd=self._directory,
            env=self._variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert code in (done.returncode, None), f"$ {' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def data(self, *words: str, code: int | None = 0) -> list[dict[str, str]]:
        """Return the parsed JSON output of a `bento` command."""
        return json.loads(self("venv/bin/bento", *words, "-o", "json", code=code))

    def imported_with(self, requirement: str) -> str:
        """Build with imports by the newest and an older BentoML. Both write the same bento.yaml."""
        self("python3", "-m", "venv", "--without-pip", "older")
        self("python3", "-m", "pip", "--python", "older/bin/python", "install", "-q", requirement, "setuptools<80")
        documents = []
        for name in ("venv", "older"):
            options = ("--version", name, "--creation-time", "2026-01-01T00:00:00Z", "--import", "--python", name)
            self("venv/bin/bento", "build", "svc", "--no-lock", *options)
            documents.append(self("venv/bin/bento", "get", f"hello:{name}").replace(f"version: {name}\n", ""))
            self("venv/bin/bento", "delete", f"hello:{name}", "--yes")
        ours, others = documents
        assert "routes:" in ours, ours
        assert others == ours
        return f"an import with {requirement} gives the same bento.yaml"

    def served(self, tag: str) -> str:
        """Return the first response of a server."""
        port = free_port()
        words = ["venv/bin/bento", "serve", tag, "--host", "127.0.0.1", "--port", str(port)]
        log = self._directory / "served.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                [*self._enter, *words],
                cwd=self._directory,
                env=self._variables(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/greet", b'{"name": "Ada"}', {"Content-Type": "application/json"}
        )
        deadline = time.monotonic() + SECONDS
        try:
            while True:
                assert server.poll() is None, log.read_text()
                try:
                    with urllib.request.urlopen(request, timeout=SECONDS) as response:
                        return response.read().decode()
                except (urllib.error.URLError, OSError):
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.2)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(SECONDS)

    def _variables(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not re.match(r"PYTHON|BUILD_", name)}
        path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        return ours | {"BENTOML_DO_NOT_TRACK": "true", "BENTOML_HOME": str(self.home), "PATH": path}
