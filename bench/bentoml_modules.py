"""Prints the tables of `bentos/service/loaded_names.py`: the modules that BentoML loads before a service.

    python bench/bentoml_modules.py PYTHON...

Each PYTHON is an interpreter with BentoML. In a project that has the module NAME, `bentoml build` imports NAME from the
service. LOADED is each name for which every environment gives an error or the value of another module. SOMETIMES is
each name for which only some do, and each that the process that serves has loaded before it imports the service.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICE = """\
import bentoml{line}
@bentoml.service(labels={{"value": VALUE}})
class Svc:
    @bentoml.api
    def hi(self, values: dict) -> str:
        return "hi"
"""
# What the process that serves has loaded when it imports the service, and what `bentoml build` has loaded at its end.
RECORDER = """
import json, os, sys
def record(end=""):
    with open(os.environ["RECORD"] + end, "w") as file:
        json.dump(sorted({each.partition(".")[0] for each in list(sys.modules)}), file)
record()
__import__("atexit").register(record, ".end")
VALUE = "x"
"""


def main() -> None:
    """Print the tables for the interpreters."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="+", metavar="PYTHON")
    pythons = parser.parse_args().pythons
    found = [json.loads(subprocess.check_output([each, __file__, "--child"])) for each in pythons]
    broken, served = ([set(one[index]) for one in found] for index in range(2))
    loaded = set.intersection(*broken)
    tables = {"LOADED": loaded, "SOMETIMES": set.union(*broken, *served) - loaded}
    for name, names in tables.items():
        print(f"{name}:", *textwrap.wrap(" ".join(sorted(names)), 110), sep="\n")


def child() -> None:
    """Print the modules that break, and those that the server has loaded, in this environment."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with tempfile.TemporaryDirectory(prefix="recorded-") as directory:
        home, project = Path(directory, "home"), Path(directory, "project")
        os.environ |= {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true", "RECORD": f"{directory}/record"}
        from bentoml_cli.cli import cli

        write(project, RECORDER)
        tag = build(cli, project)
        last = json.loads(Path(directory, "record.end").read_text())
        worker = [sys.executable, "-m", "_bentoml_impl.worker.service", tag, "--fd", "0", "--worker-id", "1"]
        subprocess.run(
            worker, cwd=directory, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=False
        )
        served = json.loads(Path(directory, "record").read_text())
        sites = [Path(path) for path in sys.path if path.endswith("site-packages")]
        files = [path.name.partition(".")[0] for site in sites for path in site.iterdir() if ".dist" not in path.name]
        names = {*files, *last, *served, *sys.builtin_module_names}
        broken = []
        for name in sorted(each for each in names if each.isidentifier() and not each.startswith("_")):
            write(project, f"\nfrom {name} import VALUE\n")
            (project / f"{name}.py").write_text("VALUE = 'own'\n")
            made = build(cli, project)
            entry = home / "bentos" / made.replace(":", "/") / "bento.yaml"
            broken += [] if made and "value: own" in entry.read_text() else [name]
            (project / f"{name}.py").unlink()
    broken.remove("service")
    answers.write(json.dumps([broken, sorted({each for each in served if not each.startswith("_")} - {"service"})]))


def write(project: Path, line: str) -> None:
    """Write a project whose service has a line that defines VALUE."""
    project.mkdir(exist_ok=True)
    (project / "service.py").write_text(SERVICE.format(line=line))
    (project / "bentofile.yaml").write_text("service: 'service:Svc'\npython:\n  lock_packages: false\n")


def build(cli: Callable[..., object], project: Path) -> str:
    """Build the project in a child process, and return the tag, or an empty string after an error."""
    log = project.parent / "log"
    log.write_text("")
    process = os.fork()
    if not process:
        status = 1
        try:
            __import__("atexit")._clear()
            os.dup2(os.open(log, os.O_WRONLY), 1)
            os.dup2(1, 2)
            os.chdir(project)
            cli(["build", "-o", "tag"], standalone_mode=False)
            status = 0
        finally:
            sys.stdout.flush()
            __import__("atexit")._run_exitfuncs()
            os._exit(status)
    os.waitpid(process, 0)
    return log.read_text().partition("__tag__:")[2].strip()


if __name__ == "__main__":
    child() if sys.argv[1:] == ["--child"] else main()
