"""Real `bentoml build` of many services, and their import by `import_worker`: `comparing.py RECORDER [MODELS]`.

Runs in BentoML's interpreter, with orders as JSON lines: {"folder", "service", "scratch"}, where `scratch` may have a
folder `bento` already. The answer to each has the problem of the import, and each part from both. BentoML is imported
once; each build and each import runs in a forked child, so that neither sees what another one left behind. RECORDER is
`tests/services/record.py`, which has the models that the services ask for, and what stands in for the network; MODELS
is a model store in the place of them.
"""

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
            in_child(import_service, scratch, order)
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


def import_service(scratch: Path, _order: dict) -> int:
    """Import the service of that Bento."""
    import yaml
    from rules_bento.service import import_worker

    source = scratch.resolve() / "bento" / "src"
    os.chdir(source)
    order = {
        "service": yaml.safe_load((source.parent / "bento.yaml").read_text("utf-8"))["service"],
        "source": str(source),
        "readable": [os.environ["BENTOML_HOME"], *sys.path],
        "arguments": {},
        "aliases": {},
        "elsewhere": False,
        "packages": [],
        "remedy": "",
        "seconds": 60,
        "answer": str(scratch / "answer"),
        "trace": str(scratch / "trace"),
    }
    (scratch / "order").write_text(json.dumps(order), "utf-8")
    import_worker.main([str(scratch / "order")])


def answer(scratch: Path) -> dict:
    import yaml

    def text(name: str) -> str | None:
        path = scratch / name
        return path.read_text("utf-8") if path.exists() else None

    imported = json.loads(text("answer") or '{"problem": "no answer"}')
    built = text("build.status") == "0"
    if not built or "problem" in imported:
        log = (text("build.log") or "") + (text("import_service.log") or "")
        return {"built": built, "problem": imported.get("problem"), "log": log}
    document = yaml.safe_load(text("bento/bento.yaml"))
    schema = json.loads(text("bento/apis/schema.json") or "{}")
    return {
        "built": True,
        "problem": None,
        "openapi": [imported["openapi"], text("bento/apis/openapi.yaml")],
        "schema": [imported["schema"], schema],
        "document": [imported["schema"], document.get("schema", {})],
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
