"""Runs real `bentoml build` on many services, and imports them with `bentoml_import`: `comparing.py RECORDER [MODELS]`.

Runs in BentoML's interpreter. Each order is a JSON line: {"folder", "service", "scratch"}. `scratch` can already
contain a directory `bento`. Each response contains the problem of the import, and the results of both. BentoML is
imported once; each build and each import runs in a forked child process, so that they don't affect each other. RECORDER
is `tests/services/record.py`, which contains the models that the services require, and a replacement for the network.
MODELS is a model store to use instead of these models.
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
    """Process orders until the input ends."""
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
        from rules_bento.base import namespaces

        readable = [*namespaces.targets([home, *sys.path])]  # Bazel's runfiles are links
        gc.freeze()  # else the first collection of each child copies all of it
        for line in sys.stdin:
            order = json.loads(line)
            scratch = Path(order["scratch"])
            if not (scratch / "bento").exists():
                in_child(build, scratch, order)
            in_child(import_service, scratch, order | {"readable": readable})
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
    """Build the project as BentoML does, and copy the Bento to `bento`."""
    import bentoml

    os.chdir(order["folder"])
    sys.path.insert(0, order["folder"])
    if order["service"]:
        made = bentoml.build(order["service"], build_ctx=order["folder"], python={"lock_packages": False})
    else:
        made = bentoml.bentos.build_bentofile(build_ctx=order["folder"])
    shutil.copytree(made.path, scratch / "bento")
    return 0


def import_service(scratch: Path, order: dict) -> int:
    """Import the service of the Bento in `bento`."""
    import yaml
    from rules_bento.bentos.service import bentoml_import

    source = scratch.resolve() / "bento" / "src"
    os.chdir(source)
    readable = order["readable"]
    order = {
        "service": yaml.safe_load((source.parent / "bento.yaml").read_text("utf-8"))["service"],
        "source": str(source),
        "home": os.environ["BENTOML_HOME"],
        "arguments": {},
        "aliases": {},
        "elsewhere": False,
        "packages": {},
        "remedy": "",
        "seconds": 60,
    }
    with (scratch / "answer").open("w", encoding="utf-8") as answer, (scratch / "trace").open("w") as trace:
        bentoml_import.run(order, readable, answer, trace, is_isolated=False)


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
