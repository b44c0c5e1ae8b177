"""Real `bentoml build` of many services, and what `rules_bento.service.imported` says of them: `comparing.py RECORDER [MODELS]`.

Runs in BentoML's interpreter, with orders as JSON lines: {"folder", "service", "scratch"}, where `scratch` may have a
folder `bento` already. The answer to each has the
exit status of the inspection, the problem that it told, and of each part what both say. BentoML is imported once;
each build and each inspection runs in a forked child, so that neither sees what another one left behind. RECORDER is
`tests/services/record.py`, which has the models that the services ask for, and what stands in for the network; MODELS
is a model store in the place of them.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

# What each child would import, and compile, for itself.
SHARED = (
    *("_bentoml_impl.docker", "bentoml.bentos", "bentoml.validators", "fastapi", "jinja2.ext", "pandas"),
    *("packaging.requirements", "PIL.Image", "pip_requirements_parser", "sklearn.base", "tomli_w"),
)
DERIVED = ("entry_service", "runners", "apis", "services", "schema")


def main(recorder: str, models: str = "") -> None:
    """Answer orders until there are none."""
    spec = importlib.util.spec_from_file_location("record", recorder)
    record = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(record)
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"BENTOML_HOME": home, "HF_ENDPOINT": record.HUB}
        if models:
            shutil.copytree(models, Path(home, "models"))
        else:
            record.prepare_store()
        record.replace_machine()
        for module in SHARED:
            importlib.import_module(module)
        gc.freeze()  # else the first collection of each child copies all of it
        for line in sys.stdin:
            order = json.loads(line)
            scratch = Path(order["scratch"])
            if not (scratch / "bento").exists():
                in_child(build, scratch, order)
            in_child(inspect, scratch, order)
            sys.stdout.write(json.dumps(answer(scratch)) + "\n")
            sys.stdout.flush()


def in_child(step, scratch, order) -> None:
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        log = (scratch / f"{step.__name__}.log").open("wb")
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        status = 1
        try:
            status = step(scratch, order)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(status)
    _, code = os.waitpid(child, 0)
    (scratch / f"{step.__name__}.status").write_text(str(os.waitstatus_to_exitcode(code)))


def build(scratch: Path, order: dict) -> int:
    """Build the project as BentoML does, and put the Bento into `bento`."""
    import bentoml

    os.chdir(order["folder"])
    sys.path.insert(0, order["folder"])
    if order["service"]:
        made = bentoml.build(order["service"], build_ctx=order["folder"], python={"lock_packages": False})
    else:
        made = bentoml.bentos.build_bentofile(build_ctx=order["folder"])
    shutil.copytree(made.path, scratch / "bento")
    return 0


def inspect(scratch: Path, _order: dict) -> int:
    """Inspect that Bento."""
    from rules_bento.service import imported

    bento = scratch / "bento"
    os.chdir(bento / "src")
    return imported.main([str(bento), *(str(scratch / name) for name in ("openapi", "schema", "derived", "problem"))])


def answer(scratch: Path) -> dict:
    import yaml

    def text(name: str) -> str | None:
        path = scratch / name
        return path.read_text("utf-8") if path.exists() else None

    built = text("build.status") == "0"
    told = {"built": built, "status": int((scratch / "inspect.status").read_text()), "problem": text("problem")}
    if not built or told["status"]:
        return told | {"log": (text("build.log") or "") + (text("inspect.log") or "")}
    document = yaml.safe_load(text("bento/bento.yaml"))
    derived = yaml.safe_load(text("derived"))
    return told | {
        "openapi": [text("openapi"), text("bento/apis/openapi.yaml")],
        "schema": [text("schema"), text("bento/apis/schema.json")],
        "derived": [derived, {key: document.get(key, [] if key != "schema" else {}) for key in DERIVED}],
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
