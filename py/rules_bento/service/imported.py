"""Describes a service by importing it with real BentoML, in an environment of BentoML and the service's wheels.

    inspection.main([BENTO, OPENAPI, SCHEMA, DERIVED, PROBLEM])

BENTO is an unpacked Bento. OPENAPI and SCHEMA are what `bentoml build` writes to `apis/`, byte for byte; DERIVED is
the part of its `bento.yaml` that comes of importing. Where there is none of that, PROBLEM has the reason.
"""

from __future__ import annotations

import json
import traceback
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def main(argv: list[str]) -> int:
    """Inspect; returns 1 if there is a problem, which is in its file then."""
    bento, openapi, schema, derived, problem = map(Path, argv)
    import yaml

    stated = yaml.safe_load((bento / "bento.yaml").read_text("utf-8"))
    doing = "the service cannot be imported"
    try:
        service = _load(bento, stated["service"])
        service.bento = None  # `bentoml build` describes it before there is a Bento, and so a version
        doing = "BentoML cannot describe the API of the service"
        computed = _derived(service, stated)
        texts = {
            openapi: yaml.dump(service.openapi_spec),
            schema: json.dumps(computed["schema"], indent=2),
            derived: yaml.safe_dump(computed, sort_keys=False),
        }
    except BaseException as error:  # whatever the user's code raises, an exit too
        problem.write_text(f"{doing}:\n{told(error, bento / 'src')}", "utf-8")
        return 1
    if difference := _difference(_graph(stated), _graph(computed)):
        problem.write_text(difference, "utf-8")
        return 1
    for path, text in texts.items():
        path.write_text(text, "utf-8")
    return 0


def _load(bento: Path, identifier: str) -> Any:
    """Import the service as serving does."""
    import bentoml

    try:
        return bentoml.load(str(bento))
    except StopIteration:  # bento.yaml lacks one of the services, which is told below
        from bentoml._internal.service.loader import import_service

        return import_service(identifier, working_dir=str(bento / "src"))


def _derived(service: Any, stated: dict[str, Any]) -> dict[str, Any]:
    """Return what `bentoml build` puts into `bento.yaml` of the imported service, by BentoML's own classes."""
    from bentoml._internal.bento.bento import BentoApiInfo, BentoRunnerInfo, BentoServiceInfo
    from bentoml._internal.utils.cattr import bentoml_cattr

    legacy = not hasattr(service, "all_services")
    parts = {
        "entry_service": service.name,
        "runners": [BentoRunnerInfo.from_runner(runner) for runner in service.runners] if legacy else [],
        "apis": [BentoApiInfo.from_inference_api(api) for api in service.apis.values()] if legacy else [],
        "services": [] if legacy else [BentoServiceInfo.from_service(one) for one in service.all_services().values()],
        "schema": {} if legacy else service.schema(),
    }
    plain: dict[str, Any] = bentoml_cattr.unstructure(parts)
    for model in (model for one in plain["services"] for model in one["models"]):
        if model.get("registry") == "huggingface" and "creation_time" in stated:
            model["creation_time"] = str(stated["creation_time"])  # BentoML's is the time of asking
    return plain


def _graph(document: dict[str, Any]) -> dict[str, list[str]]:
    """Return the services of a `bento.yaml`, the entry service first, each with its dependencies."""
    services = {
        service["name"]: [dependency.get("service", "") for dependency in service.get("dependencies", [])]
        for service in document.get("services", [])
    }
    return services or {document["entry_service"]: []}


def _difference(stated: dict[str, list[str]], imported: dict[str, list[str]]) -> str:
    """Return what would keep BentoML from serving the Bento: it looks services up by the names in bento.yaml."""
    if stated == imported:
        return ""
    return (
        f"bento.yaml has the services {json.dumps(stated)}, importing gives {json.dumps(imported)}. "
        "Set the attribute services of the Bento to the latter."
    )


def told(error: BaseException, source: Path) -> str:
    """Return the message of the error that the user's code raised, with its frames, not of BentoML's wrapping."""
    reason = next((one for one in reasons(error) if frames_of(one, source)), error)
    what = reason.msg if isinstance(reason, SyntaxError) else str(reason)
    lines = [*frames_of(reason, source), f"{type(reason).__name__}: {what}"]
    return "\n".join(f"  {line}" for text in lines for line in text.splitlines())


def reasons(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that caused it."""
    while error:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def frames_of(error: BaseException, source: Path) -> list[str]:
    """Return the user's own lines that an error came through, as `file:line: text`."""
    frames = [(frame.filename, frame.lineno, frame.line) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        frames.append((error.filename or "", error.lineno, (error.text or "").strip()))
    prefix = f"{source}/"
    return [f"{name[len(prefix) :]}:{number}: {text}" for name, number, text in frames if name.startswith(prefix)]
