"""Compares static analysis of services with imports by real BentoML, in `import_server.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from rules_bento.bentos.service import ServiceInfo


class Imports:
    """Imports services with BentoML in a process that has imported BentoML."""

    def __init__(self, python: str = "") -> None:
        """Start the process: with the interpreter `python`, or with the modules of this process."""
        variables = {**os.environ} if python else os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(
            [python or sys.executable, str(Path(__file__).with_name("import_server.py"))],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, directory: Path, service: str, ours: dict, arguments: dict, *, packages: bool = False) -> dict:
        """Return the metadata of the service, or its problem."""
        order = {"directory": str(directory), "service": service, "arguments": arguments, "packages": packages}
        self._process.stdin.write(json.dumps(order | {"image": ours["image"]}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


def fields(info: ServiceInfo) -> dict:
    """Return the metadata in the form of `import_server.py`."""
    hub = ("model_id", "revision", "include", "exclude")
    rows: list[dict[str, object]] = [
        {
            "name": one.name,
            "class_name": one.class_name,
            "config": one.config,
            "apis": [[api.name, api.route, api.is_task, api.batchable, api.is_stream] for api in one.apis],
            "dependencies": [
                [each.attribute, each.service, each.deployment, each.cluster, each.url] for each in one.dependencies
            ],
            "models": [
                [getattr(each.huggingface, key) for key in hub] if each.huggingface else each.tag for each in one.models
            ],
            "mounts": one.mounts,
            "doc": one.doc,
        }
        for one in info.services
    ]
    image = info.image and {
        "arguments": info.image.arguments,
        "calls": [{"method": call.method, "args": call.args} for call in info.image.calls],
    }
    names = ("service", "bento_name", "entry_service", "labels", "description")
    envs = [[env.name, env.value, env.stage] for env in info.envs]
    return json.loads(
        json.dumps({name: getattr(info, name) for name in names} | {"services": rows, "envs": envs, "image": image})
    )


def differences(ours: dict, theirs: dict) -> list[str]:
    """Return the fields that differ, in the order of keys too."""
    real, repeated = theirs["image"]
    pairs = [(name, ours[name], theirs[name]) for name in ours if name != "image"] + [("image", repeated, real)]
    for row in [*theirs["services"], *ours["services"]]:
        row["models"] = [f"{one}:latest" if isinstance(one, str) and ":" not in one else one for one in row["models"]]
    return [f"{name}: {one!r} is not {two!r}" for name, one, two in pairs if json.dumps(one) != json.dumps(two)]
