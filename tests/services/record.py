"""Records what real BentoML says of the services of services.txt: `expected.json`, by name.

Run it with a Python that has BentoML 1.4 and scikit-learn:

    python tests/services/record.py            # re-record all, or the named services
    python tests/services/record.py --check    # a live differential test: fails where BentoML now says otherwise

Every service is imported and built by BentoML in a process of its own, in a directory of its own, with a
temporary BENTOML_HOME that holds a few models; nothing of it needs a network.

Four things are put in place of what differs from machine to machine or needs a network: Hugging Face
revisions stay as written (BentoML asks the hub for the commit), dependencies are not locked, uv is not looked
for, and the machine has four CPUs.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import json
import os
import re
import sys
import tempfile
import textwrap
import traceback
from pathlib import Path
from typing import Any, NamedTuple

TABLE = Path(__file__).resolve().with_name("services.txt")
EXPECTED = TABLE.with_name("expected.json")
# What BentoML records for a Hugging Face model that names no endpoint.
HUB = "http://127.0.0.1:9/hub"


class Case(NamedTuple):
    """A row of a table of services."""

    name: str
    service: str
    fields: dict[str, str]
    files: dict[str, bytes]


def read_table(table: Path) -> list[Case]:
    """Return the rows of a table. The heads of services.txt and hostile_forms.txt describe the format."""
    templates: dict[str, dict[str, str]] = {}
    cases = []
    for row in re.split(r"(?m)^=== ", table.read_text("utf-8"))[1:]:
        head, *parts = re.split(r"(?m)^--- ", row)
        title, *lines = head.splitlines()
        fields = dict(line.split(": ", 1) for line in lines)
        files = {path: text for path, _, text in (part.partition("\n") for part in parts)}
        if title.startswith("template: "):
            templates[title.removeprefix("template: ")] = files
            continue
        if "like" in fields:
            files = _filled(templates[fields["like"]], files.pop("code")) | files
        name, service = re.fullmatch(r"(.*?)(?: \[(.*)\])?", title).groups()  # type: ignore[union-attr]
        encoding = fields.get("encoding", "utf-8")
        data = {path: text.encode(encoding) for path, text in files.items()}
        cases.append(Case(name, service or "service:Svc", fields, data))
    return cases


def _filled(files: dict[str, str], code: str) -> dict[str, str]:
    def indented(line: re.Match[str]) -> str:
        return textwrap.indent(code, line[1])

    return {path: re.sub(r"(?m)^( *)#code\n", indented, text) for path, text in files.items()}


def prepare_store() -> None:
    """Make the models that the services refer to."""
    import bentoml
    from sklearn.linear_model import LogisticRegression

    for tag in ("iris_clf:v0", "iris_clf:v1", "scaler:v2"):
        with bentoml.models.create(tag) as model:
            Path(model.path_of("weights.txt")).write_text(tag)
    bentoml.sklearn.save_model("iris_sk:v3", LogisticRegression())


def replace_machine() -> dict[int, list[Any]]:
    """Put fixed answers in place of the machine's and the network's; returns where images note their calls."""
    from _bentoml_sdk.images import Image
    from bentoml._internal import configuration, resource
    from bentoml.models import HuggingFaceModel

    configuration.get_uv_command = lambda: ["uv"]
    resource.system_resources = lambda: {"cpu": 4.0}
    HuggingFaceModel.commit_hash = property(lambda self: self.revision)
    notes: dict[int, list[Any]] = {}
    kept: list[Any] = []
    nested = [0]

    def wrap(name: str) -> None:
        method = getattr(Image, name)
        signature = inspect.signature(method)

        @functools.wraps(method)
        def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not nested[0]:
                bound = signature.bind(self, *args, **kwargs).arguments
                del bound["self"]
                if name == "__init__":
                    kept.append(self)
                    notes[id(self)] = [json.loads(json.dumps(bound))]
                else:
                    values = [v for value in bound.values() for v in (value if isinstance(value, tuple) else [value])]
                    notes[id(self)].append([name, [str(value) for value in values]])
            nested[0] += 1
            try:
                return method(self, *args, **kwargs)
            finally:
                nested[0] -= 1

        setattr(Image, name, noted)

    methods = "build_include pyproject_toml python_packages requirements_file run run_script system_packages uv_lock"
    for name in ("__init__", *methods.split()):
        wrap(name)
    return notes


def truth(service: str, notes: dict[int, list[Any]]) -> dict[str, Any]:
    """Import and build the service in the current folder; give what BentoML wrote."""
    import bentoml
    import yaml
    from bentoml._internal.service.loader import import_service

    sys.path.insert(0, os.getcwd())
    try:
        loaded = import_service(service, working_dir=os.getcwd())
    except Exception as error:  # noqa: BLE001 - whatever the service's code raises is the record
        return {"import_error": type(error).__name__}
    image = notes.get(id(getattr(loaded, "image", None)))
    try:
        bento = bentoml.build(service, build_ctx=os.getcwd(), python={"lock_packages": False})
    except Exception as error:  # noqa: BLE001 - a service that imports and does not build is a record, too
        return {"build_error": type(error).__name__, "name": getattr(loaded, "name", None)}
    written = yaml.safe_load(Path(bento.path_of("bento.yaml")).read_text())
    schema = written["schema"]
    return {
        "service": written["service"],
        "spec": written["spec"],
        "name": written["name"],
        "entry_service": written["entry_service"],
        "labels": written["labels"],
        "envs": written["envs"],
        "description": getattr(loaded, "description", None),
        "models": [_model(model) for model in written["models"]],
        "services": [{**row, "models": [_model(model) for model in row["models"]]} for row in written["services"]],
        "routes": [_route(route) for route in schema.get("routes", [])],
        "paths": schema.get("paths", {}),
        "doc": schema.get("description"),
        "image": {"arguments": image[0], "calls": image[1:]} if image else None,
        "runners": [{k: v for k, v in row.items() if k != "resource_config"} for row in written.get("runners", [])],
        "apis": [
            {**row, "route": loaded.apis[row["name"]].route} for row in written.get("apis", [])
        ],
    }


def _model(model: dict[str, Any]) -> dict[str, Any]:
    return {key: model[key] for key in ("tag", "registry", "metadata") if key in model}


def _route(route: dict[str, Any]) -> dict[str, Any]:
    plain = {key: route[key] for key in ("name", "route", "batchable", "is_task")}
    return {**plain, "is_stream": route["output"].get("is_stream", False)}


def write_files(files: dict[str, bytes], directory: Path) -> Path:
    """Write the files of a case into a directory, and return the directory."""
    for path, content in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    return directory


def record(case: Case, variables: dict[str, str], notes: dict[int, list[Any]]) -> dict[str, Any]:
    """Record one service in a child process, so that no import meets another's."""
    with tempfile.TemporaryDirectory() as scratch:
        work = write_files(case.files, Path(scratch, "work"))
        out = Path(scratch, "truth.json")
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            try:
                os.chdir(work)
                os.environ.update(variables)
                with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                    found = truth(case.service, notes)
                out.write_text(json.dumps(found))
            except BaseException:  # noqa: BLE001 - the parent must hear of it, whatever it is
                traceback.print_exc()
            os._exit(0)
        os.waitpid(child, 0)
        if not out.exists():
            raise SystemExit(f"{case.name}: no record was made")
        return {"with": variables, **json.loads(out.read_text())}


def main(arguments: list[str]) -> int:
    """Record or check the named services, or all."""
    check = "--check" in arguments
    names = [name for name in arguments if not name.startswith("-")]
    failed = 0
    with tempfile.TemporaryDirectory() as home:
        os.environ["BENTOML_HOME"] = home
        os.environ["BENTOML_DO_NOT_TRACK"] = "True"
        os.environ["HF_ENDPOINT"] = HUB
        sys.dont_write_bytecode = True
        import logging

        prepare_store()
        logging.disable(logging.CRITICAL)
        notes = replace_machine()
        cases = read_table(TABLE)
        committed = json.loads(EXPECTED.read_text(encoding="utf-8")) if EXPECTED.exists() else {}
        expected = {}
        for case in cases:
            if names and case.name not in names:
                expected[case.name] = committed[case.name]
                continue
            extra = dict(pair.split("=", 1) for pair in case.fields.get("also with", "").split())
            found = [record(case, variables, notes) for variables in ([{}, extra] if extra else [{}])]
            expected[case.name] = found
            if check and committed.get(case.name) != found:
                failed += 1
                print(f"{case.name}: BentoML now says otherwise:\n{json.dumps(found, indent=1, ensure_ascii=False)}")
        if not check:
            EXPECTED.write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
