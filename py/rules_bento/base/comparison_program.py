"""Compares the service that BentoML loads from a Bento with the Bento's bento.yaml.

Servers run this program in the interpreters of Bentos, so that it imports nothing of rules_bento. Each difference is a
line on the standard error that begins with `MARK`.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MARK = "bento.yaml isn't right: "
"""The start of the line for a difference."""
_LOADER = "bentoml._internal.service.loader"
_WORKERS = ("_bentoml_impl.worker.", "bentoml_cli.worker.")
# Variables that a service gets anywhere, and that the import of a service for a build has, too.
_COMMON = r"(BENTOML_|LC_|LD_|PYTHON).*|HOME|LANG|PATH|TMPDIR|TZ|USER|VIRTUAL_ENV"
_AGAIN = "RULES_BENTO_COMPARES_AGAIN"  # set in the process that loads the Bento without other variables
_SECONDS = 600  # for this process
_FIELDS = ("name", "image", "description", "path_prefix", "envs", "labels", "cmd")  # BentoML 1.4.8 keeps some
_ELSEWHERE = ("deployment", "cluster", "url")  # of a dependency
_LONGEST = 200
_MISSING = object()
_HUGGINGFACE = ("model_id", "revision", "endpoint", "include", "exclude")
_HUB = "https://huggingface.co"
_CHAT = "/chat/completions"  # BentoML adds a label for an endpoint whose path ends so
_COMMIT_LENGTH = 40


def differences(first: Any, second: Any, field: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield the name and both values of each field whose values or key orders differ, such as `services.0.config`.

    Compares lists of equal length item by item. The values are truncated JSON, or `nothing` if missing.
    """
    if isinstance(first, dict) and isinstance(second, dict):
        differs = False
        for key in dict.fromkeys([*first, *second]):
            inner = f"{field}.{key}" if field else str(key)
            for difference in differences(first.get(key, _MISSING), second.get(key, _MISSING), inner):
                differs = True
                yield difference
        if not differs and list(first) != list(second):
            yield f"{field} (order)", _text(list(first)), _text(list(second))
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for index, one in enumerate(first):
            yield from differences(one, second[index], f"{field}.{index}")
    elif type(first) is not type(second) or first != second:
        yield field, _text(first), _text(second)


def _text(value: Any) -> str:
    if value is _MISSING:
        return "nothing"
    import json

    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def compare(document: dict[str, Any], service: Any, endpoint: str | None = None) -> Iterator[tuple[str, str, str]]:
    """Yield the differences between a bento.yaml and the service that BentoML loaded, as `differences` does.

    Compares the name, configuration, dependencies, models, and labels, and the APIs if bento.yaml has them. `endpoint`
    is the endpoint of Hugging Face Hub in this environment, which is valid for models without an endpoint.
    """
    import json

    if not hasattr(service, "all_services"):  # a legacy service
        return
    entries = document.get("services") or []
    schema, built = service.schema(), {entry["name"]: entry for entry in entries}
    labels = {str(key): str(value) for key, value in (getattr(service, "labels", None) or {}).items()}
    if chat := [path for path in schema.get("paths", ()) if path.endswith(_CHAT)]:
        labels["openai_endpoint"] = chat[0][: -len(_CHAT)]
    loaded = {
        "entry_service": service.name,
        "labels": labels,
        "services": [_entry(one, built.get(one.name, {}), endpoint) for one in service.all_services().values()],
    }
    keys = ("name", "models", "dependencies", "config")
    described = {key: document.get(key) for key in loaded}
    if document.get("schema"):
        described["apis"], loaded["apis"] = (
            [*map(_api, each.get("routes", ()))] for each in (document["schema"], schema)
        )
    known: dict[str, Any] = document.get("labels") or {}
    described["labels"] = {key: known[key] for key in labels if key in known}
    described["services"] = [
        {key: [*map(_recorded, entry[key])] if key == "models" else entry[key] for key in keys} for entry in entries
    ]
    yield from differences(described, json.loads(json.dumps(loaded, default=str)))


def _api(route: dict[str, Any]) -> dict[str, Any]:
    return {key: route.get(key) for key in ("name", "route", "batchable", "is_task")}


def _recorded(entry: Any) -> Any:
    """Return what a service determines of the entry of a model in bento.yaml."""
    metadata = entry.get("metadata") or {}
    is_remote = entry.get("registry") == "huggingface"
    return {key: metadata.get(key) for key in _HUGGINGFACE} if is_remote else {"tag": entry["tag"]}


def _entry(service: Any, built: dict[str, Any], endpoint: str | None) -> dict[str, Any]:
    from bentoml._internal.utils.cattr import bentoml_cattr

    config, known = bentoml_cattr.unstructure(service.config), built.get("config", {})
    is_derived = getattr(service, "has_custom_command", lambda: False)()  # BentoML derives workers from the machine
    for name in (*_FIELDS, *["workers"] * is_derived):
        if name not in known:
            config.pop(name, None)
    recorded = [_recorded(entry) for entry in built.get("models", ())]
    found = [_model(model) for model in service.models]
    for model, other in zip(found, recorded):  # noqa: B905 - Python 3.9
        name, _, version = model.get("tag", "").partition(":")
        if name and version in ("", "latest") and other.get("tag", "").partition(":")[0] == name:
            model.update(other)
        if len(model.get("revision", "0" * _COMMIT_LENGTH)) != _COMMIT_LENGTH:  # the build pinned it
            model["revision"] = other.get("revision")
        if endpoint and model.get("endpoint") == endpoint:
            model["endpoint"] = other.get("endpoint")
    dependencies = [
        {"service": one.on and one.on.name, **{name: getattr(one, name, None) for name in _ELSEWHERE}}
        for one in service.dependencies.values()
    ]
    dependencies = [{key: value for key, value in one.items() if value is not None} for one in dependencies]
    return {"name": service.name, "models": found, "dependencies": dependencies, "config": config}


def _model(model: Any) -> dict[str, Any]:
    if not hasattr(model, "model_id"):
        return {"tag": str((getattr(model, "stored", None) or model).tag)}
    found = {name: getattr(model, name, None) for name in _HUGGINGFACE}
    return {**found, "endpoint": found["endpoint"] or _HUB}


class _Finder:
    """Compares the first Bento that BentoML's module `_LOADER` loads."""

    def __init__(self, remedy: str, source: str) -> None:
        self._remedy, self._source = remedy, source

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != _LOADER:
            return None
        sys.meta_path.remove(self)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in sys.meta_path)))
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            load, import_service = module._load_bento, module.import_service

            def load_bento(bento: Any, *args: Any, **keywords: Any) -> Any:
                import os

                endpoint = os.environ.get("HF_ENDPOINT")  # which the service can change

                def imported(*args: Any, **keywords: Any) -> Any:
                    module.import_service = import_service
                    service = import_service(*args, **keywords)
                    self._report(str(bento.path), service, endpoint)
                    return service

                module._load_bento, module.import_service = load, imported  # BentoML changes the models after it
                return load(bento, *args, **keywords)

            module._load_bento = load_bento

        loader.exec_module = exec_module
        return spec

    def _report(self, path: str, service: Any, endpoint: str | None) -> None:
        try:
            import yaml

            with open(f"{path}/bento.yaml", encoding="utf-8") as file:  # noqa: PTH123 - imports only what it needs
                found = [*compare(yaml.safe_load(file), service, endpoint)]
            is_right = bool(found) and self._is_right_without_variables(path)
        except Exception as error:  # the server must start
            sys.stderr.write(f"note: comparing bento.yaml with the service failed: {type(error).__name__}: {error}\n")
            return
        mark, end = ("note: ", ", because of environment variables") if is_right else (MARK, "")
        for field, first, second in found:
            sys.stderr.write(f"{mark}{field} is {first} in bento.yaml, but {second} in the service that runs{end}.\n")
        sys.stderr.write(self._remedy if found and not is_right else "")

    def _is_right_without_variables(self, path: str) -> bool:
        """Return whether a process without this environment's own variables loads the service of bento.yaml."""
        import os
        import re
        import subprocess

        if _AGAIN in os.environ:
            return False
        variables = {name: value for name, value in os.environ.items() if re.fullmatch(_COMMON, name)}
        load = f"sys.path[:] = filter(None, sys.path)\nimport {_LOADER} as loader\nloader.load_bento_dir({path!r})\n"
        # Without -I: it loads the service as the server does.
        command = [sys.executable, "-c", f"{self._source}\nwatch('', '')\n{load}"]
        try:
            env = {**variables, _AGAIN: "1"}
            done = subprocess.run(command, env=env, capture_output=True, check=False, timeout=_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0 and MARK.encode() not in done.stderr


def watch(remedy: str, source: str) -> None:
    """Report differences and `remedy` when BentoML loads a Bento in this process, unless it is a worker.

    `source` is this program. Repeated calls have no effect.
    """
    is_worker = any(word.startswith(_WORKERS) for word in getattr(sys, "orig_argv", ()))
    if not (is_worker or any(type(finder).__name__ == _Finder.__name__ for finder in sys.meta_path)):
        sys.meta_path.insert(0, _Finder(remedy, source))
