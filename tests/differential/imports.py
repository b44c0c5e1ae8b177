"""Imports small projects with real BentoML in forked processes, and analyzes them statically."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from rules_bento.bentos.service import read_service


def imported(directory: Path, files: dict[str, str]) -> dict | None:
    """Import the project with BentoML in a process of its own. Returns the metadata, or None if the import fails."""
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)
    answer = directory / "answer.json"
    child = os.fork()
    if child == 0:
        try:
            os.chdir(directory)
            os.dup2(os.open("log", os.O_WRONLY | os.O_CREAT), 2)
            os.dup2(2, 1)
            sys.path.insert(0, str(directory))
            import service

            svc = service.Svc
            data = {"name": svc.name, "labels": dict(svc.labels), "workers": svc.config.get("workers")}
            answer.write_text(json.dumps(data | {"apis": list(svc.apis)}))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return json.loads(answer.read_text()) if answer.exists() else None


def analyzed(files: dict[str, str]) -> tuple[dict | None, str]:
    """Analyze the project statically. Returns the metadata, or None and the reason if a value is unknown."""
    info = read_service("service:Svc", {path: text.encode() for path, text in files.items()})
    if info.unknowns:
        return None, f"{info.unknowns[0].path}:{info.unknowns[0].line}: {info.unknowns[0].what}"
    [service] = info.services
    apis = [each.name for each in service.apis]
    return {"name": info.entry_service, "labels": info.labels, "workers": service.config["workers"], "apis": apis}, ""
