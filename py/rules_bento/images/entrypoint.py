"""Defines the program that starts containers of images, which need no shell.

The program accepts the variables and arguments of BentoML's images, so that an image of rules_bento can replace one of
them. `ENTRYPOINT` in rules_bento/bento/env/common.py is the same program for a shell.
"""

from __future__ import annotations

from rules_bento.typing_lite import Sequence

PROGRAM = '''\
"""Starts the Bento in BENTO_PATH. Without a Bento, or if the arguments don't select a server, runs the arguments."""
import os
import sys

# Hosts that choose the port set PORT. Servers read the port from their own variables.
if os.environ.get("PORT"):
    os.environ["BENTOML_PORT"] = os.environ["PORT"]
    for prefix in ("FLASK_RUN", "GRADIO_SERVER", "MLFLOW", "STREAMLIT_SERVER", "UVICORN"):
        os.environ.setdefault(prefix + "_PORT", os.environ["PORT"])

command = sys.argv[1:]
bento = os.environ.get("BENTO_PATH")
if bento:
    bentoml = [sys.executable, "-m", "bentoml"]
    start = [sys.executable, "-m", "bentoml_cli._internal.start"]
    if not command or command[0].startswith("-"):
        servers = {"http_server": "http-server", "grpc_server": "grpc-server", "runner": "runner-server"}
        server = servers.get(os.environ.get("BENTOML_SERVE_COMPONENT"))
        command = [*start, "start-" + server, *command, bento] if server else [*bentoml, "serve", *command, bento]
    elif command[0] in ("start-http-server", "start-grpc-server", "start-runner-server"):
        command = [*start, *command, bento]
    elif command[0] in ("serve", "serve-http", "serve-grpc"):
        command = [*bentoml, *command, bento]
try:
    os.execvp(command[0], command)
except OSError as error:
    sys.stderr.write(command[0] + ": " + error.strerror + "\\n")
    sys.exit(127)
'''


def path(environment: str) -> str:
    """Return the path of the program in an image with its packages in the directory `environment`."""
    return f"{environment}/bin/entrypoint.py"


def command(environment: str) -> list[str]:
    """Return the entry point of an image. Python ignores the container's variables, but its child doesn't."""
    return [f"{environment}/bin/python", "-I", "-S", path(environment)]


def serves_bento(entrypoint: Sequence[str]) -> bool:
    """Return whether the entry point of an image with a Bento can serve the Bento."""
    environment = entrypoint[0].removesuffix("/bin/python") if entrypoint else ""
    return list(entrypoint) == command(environment)
