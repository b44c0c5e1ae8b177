"""Modules with the names of BentoML's, and files that an import writes or looks for: as the real `bentoml build`.

Each project is built in four ways: by the command statically (s), by the command that imports if it must (a), and by
the rules' actions statically (r) and with the import (i). A way either gives what BentoML gives, or is an error.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from bento_cli.projects.from_directory import ExtraOptions, build_bentofile
from rules_bento.base.errors import BentoError

from tests.helpers.projects import tree_of_directory, write_project
from tests.service.forked import fork_imports
from tests.service.import_support import Build, real

__all__ = ["real"]

SERVICE = """\
from pathlib import Path

import bentoml
{code}
@bentoml.service(labels={{"value": VALUE}})
class Svc:
    @bentoml.api
    def ask(self, text: str) -> str:
        {body}
        return text
"""
CLASS = 'from pydantic import BaseModel\n\nVALUE = "own"\n\n\nclass Question(BaseModel):\n    text: str\n'


class Project(NamedTuple):
    """A project: lines above the service, other files, and what builds it: BentoML (b), and the ways s, a, r, i."""

    code: str
    files: dict[str, str] = {}
    builds: str = "bsari"
    problem: str = ""  # in each error of a way that doesn't build
    note: str = ""  # in a note of the way a
    options: dict[str, object] = {}
    body: str = "pass"
    service: str = "service:Svc"
    value: str = ""  # of ways with an import, where a file is hidden
    sought: str = ""  # in a note of the way i


V = 'VALUE = "constant"'
LOADED = "BentoML loads another module|cannot be imported"
WRITES = "might change a file|changes a file"
NAMES = {
    "class": Project(f"from schema import Question\n{V}", {"schema.py": CLASS}, "", LOADED, body="Question"),
    "value": Project("from yaml import VALUE", {"yaml.py": CLASS}, "", LOADED),
    "other-value": Project("from packaging import __version__ as VALUE", {"packaging/__init__.py": "__version__ = 'mine'"}, "bai", LOADED),
    "package": Project("from click.own import VALUE", {"click/__init__.py": "", "click/own.py": CLASS}, "", LOADED),
    "directory": Project("from v1.routes import VALUE", {"v1/routes.py": CLASS}, "", LOADED),
    "attribute": Project(f"import rich as r\n{V}\nX = r.VALUE", {"rich.py": CLASS}, "", LOADED),
    "standard": Project("from queue import VALUE", {"queue.py": CLASS}, "", LOADED),
    "importing": Project(f"with bentoml.importing():\n    from httpx import Question\n{V}", {"httpx.py": CLASS}, "bai", LOADED),
    "of-the-command": Project("from click_option_group import VALUE", {"click_option_group.py": CLASS}, "", LOADED),
    "loaded-later": Project("from pip_requirements_parser import VALUE", {"pip_requirements_parser.py": CLASS}, "", LOADED),
    "service": Project("", {"attr.py": SERVICE.format(code=V, body="pass")}, "", LOADED, service="attr:Svc"),
    "nested-import": Project("from lib import VALUE", {"lib.py": "from jinja2 import VALUE", "jinja2.py": CLASS}, "", LOADED),
    "theirs": Project(f"from yaml import safe_load\n{V}", {"yaml.py": CLASS}, "bai", LOADED),
    "their-module": Project(f"import logging\nlogging.getLogger('x')\n{V}", {"logging.py": CLASS}, "bai", LOADED),
    "unused": Project(V, {"schema.py": CLASS, "json.py": CLASS, "rich/__init__.py": ""}),
    "below": Project("from app.schema import VALUE", {"app/__init__.py": "", "app/schema.py": CLASS}),
    "not-loaded": Project("from fs import VALUE", {"fs.py": CLASS}, note="module `fs`"),
    "of-an-extra": Project("from multipart import VALUE", {"multipart.py": CLASS}, note="module `multipart`"),
    "foreign": Project("from filelock import VALUE", {"filelock.py": CLASS}),
    "server": Project("from uvicorn import VALUE", {"uvicorn.py": CLASS}, note="module `uvicorn`"),
}  # fmt: skip
FILES = {
    "requirements": Project(f'Path("requirements.txt").write_text("idna==3.10\\n")\n{V}', {"requirements.txt": "idna==3.4\n"}, "b", WRITES),
    "new": Project(f'with open("build_info.json", "w") as file:\n    file.write("1")\n{V}', {}, "b", WRITES),
    "module": Project(f'Path("generated.py").write_text("VALUE = \'new\'")\n{V}', {"generated.py": "VALUE = 'old'"}, "b", WRITES),
    "renamed": Project(f'import os\nos.rename("a.txt", "b.txt")\n{V}', {"a.txt": "a"}, "b", WRITES),
    "deleted": Project(f'Path("a.txt").unlink()\n{V}', {"a.txt": "a"}, "b", WRITES),
    "in-library": Project(f"from lib.gen import save\nsave()\n{V}", {"lib/gen.py": "import shutil\ndef save():\n    shutil.copy('lib/gen.py', 'copy.py')"}, "b", WRITES),
    "log": Project(f'import logging\nlogging.FileHandler("app.log")\n{V}', {}, "b", WRITES),
    "same": Project(f'Path("a.txt").write_text("a")\n{V}', {"a.txt": "a"}, "b", WRITES),
    "directory": Project(f'import os\nos.makedirs("logs/day", exist_ok=True)\n{V}'),
    "elsewhere": Project(f'(Path.home() / "a").write_text("a")\n{V}', {}, "bai", WRITES),
    "uncalled": Project(f'def save():\n    Path("a.txt").write_text("a")\n{V}', {}, "bai", WRITES),
    "in-method": Project(V, body='Path("a.txt").write_text("a")'),
}  # fmt: skip
HIDDEN = {"exclude": ["local.yaml", "conf/b.yaml"]}
CONF = {"local.yaml": "a: 1", "conf/a.yaml": "a: 1", "conf/b.yaml": "b: 2"}
SOUGHT = {
    "exists": Project(f'if Path(__file__).with_name("local.yaml").exists():\n    print("local")\n{V}', CONF, options=HIDDEN, sought="local.yaml"),
    "value": Project('VALUE = "a" if Path("local.yaml").is_file() else "b"', CONF, "bai", "isn't", "Bento: local.yaml", HIDDEN, value="b", sought="local.yaml"),
    "git": Project('import os\nVALUE = "a" if os.path.exists(".git/HEAD") else "b"', {".git/HEAD": "x"}, "bai", "isn't", "Bento: .git/HEAD", value="b", sought=".git/HEAD"),
    "glob": Project('VALUE = str(len([*Path("conf").glob("*.yaml")]))', CONF, "bai", "isn't", "Bento: conf/b.yaml", HIDDEN, value="1", sought="conf/b.yaml"),
    "open": Project('try:\n    VALUE = open("local.yaml").read()\nexcept OSError:\n    VALUE = "none"',
        CONF, "bai", "assigned", "Bento: local.yaml", HIDDEN, value="none", sought="local.yaml"),
    "found": Project('VALUE = "a" if Path("conf/a.yaml").exists() else "b"', CONF, "bai", "isn't", options=HIDDEN),
    "absent": Project('VALUE = "a" if Path(".env").exists() else "b"', {}, "bai", "isn't", sought=".env"),
    "variable": Project('import os\nVALUE = os.environ.get("UNSET", "b")', {}, "bai", "isn't", "get: UNSET", sought="UNSET"),
}  # fmt: skip
ENDS = {
    "raise": Project(f'{V}\nraise RuntimeError("no")', {}, "", "might end the import|cannot be imported"),
    "assert": Project(f"{V}\nassert False", {}, "", "might end the import|cannot be imported"),
    "version": Project(f"import sys\n{V}\nassert sys.version_info >= (3, 99)", {}, "", "might end the import|imported"),
    "condition": Project(f"import sys\n{V}\nif sys.version_info < (3, 99):\n    raise ValueError(1)", {}, "", "might end the import|imported"),
    "exit": Project(f"import sys\n{V}\nsys.exit(1)", {}, "", "might end the import|cannot be imported"),
    "true": Project(f"import sys\n{V}\nassert True\nif sys.version_info < (3, 0):\n    raise ValueError(1)", {}, "bai", "might end the import"),
}  # fmt: skip
PROJECTS = {
    f"{group}-{name}": project
    for group, projects in (("names", NAMES), ("files", FILES), ("sought", SOUGHT), ("ends", ENDS))
    for name, project in projects.items()
}


@pytest.mark.parametrize("name", PROJECTS)
def test_a_build_is_that_of_bentoml_or_an_error(name, real, monkeypatch, capfd):
    project = PROJECTS[name]
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="rules_bento-") as temporary:
        directory = Path(temporary)
        files = {"files": files_of(project)}
        theirs = real.build(write_project(directory / "theirs", files, ""), ["--version", "v1"])
        assert bool(theirs["folder"]) == ("b" in project.builds), theirs["log"]
        expected = theirs["folder"] and {
            "value": yaml.safe_load((theirs["folder"] / "bento.yaml").read_text("utf-8"))["labels"]["value"],
            "files": {path for path in tree_of_directory(theirs["folder"] / "src") if path != "bentofile.yaml"},
        }
        fork_imports(monkeypatch, directory / "home")
        for way, make in {"s": static, "a": automatic, "r": static_actions, "i": importing_actions}.items():
            if way in project.builds:
                hidden = {"value": project.value} if project.value else {}
                assert make(project, files, directory / way, real) == expected | hidden
                if way == "i":
                    found = re.findall("(?:aren't in the Bento|it doesn't get): (.+?)[.] ", capfd.readouterr().err)
                    assert found == ([project.sought] if project.sought else [])
            else:
                with pytest.raises(BentoError, match=project.problem) as raised:
                    make(project, files, directory / way, real)
                assert way in "ai" or ".py:" in str(raised.value) or project.service != "service:Svc"


def files_of(project: Project) -> dict[str, str]:
    options: dict = {"service": project.service, "python": {"lock_packages": False}} | project.options
    if "requirements.txt" in project.files:
        options["python"]["requirements_txt"] = "requirements.txt"
    code = SERVICE.format(code=project.code, body=project.body)
    return {"service.py": code, **project.files, "bentofile.yaml": yaml.safe_dump(options)}


def static(project: Project, files: dict, directory: Path, _real) -> dict:
    return command(project, files, directory, ExtraOptions(is_command=True))


def automatic(project: Project, files: dict, directory: Path, real) -> dict:
    return command(project, files, directory, ExtraOptions(is_command=True, fallback=lambda _error: real.python))


def command(project: Project, files: dict, directory: Path, extra: ExtraOptions) -> dict:
    made = build_bentofile(build_ctx=write_project(directory, files, ""), version="v1", extra=extra)
    assert project.note in " ".join(made.notes)
    document = yaml.safe_load(made.bento.files["bento.yaml"])
    return {
        "value": document["labels"]["value"],
        "files": {member.path.removeprefix("src/") for member in made.sources} - {"bentofile.yaml"},
    }


def static_actions(project: Project, files: dict, directory: Path, real) -> dict:
    directory.mkdir()
    build, bentofile = Build(directory, files), ["--bentofile", str(directory / "svc/bentofile.yaml"), "bentofile.yaml"]
    return packaged(build, build.snapshot("--service", project.service, *bentofile), real, bentofile)


def importing_actions(project: Project, files: dict, directory: Path, real) -> dict:
    directory.mkdir()
    build, bentofile = Build(directory, files), ["--bentofile", str(directory / "svc/bentofile.yaml"), "bentofile.yaml"]
    build.snapshot("--service", project.service, "--skip-service", *bentofile)
    return packaged(build, build.imported(*bentofile), real, bentofile)


def packaged(build: Build, service_info: str, real, bentofile: list[str]) -> dict:
    document = build.package(service_info, real, *bentofile)
    entries = json.loads(Path(build.path("manifest")).read_text("utf-8"))
    return {"value": document["labels"]["value"], "files": {entry["path"] for entry in entries} - {"bentofile.yaml"}}


def test_at_most_10_projects_that_bentoml_builds_are_errors():
    built = [project for project in PROJECTS.values() if "b" in project.builds]
    assert len(PROJECTS) >= 40
    for way in "ai":
        assert sum(way not in project.builds for project in built) <= 10
