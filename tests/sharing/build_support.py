"""Projects whose build back ends list what they see."""

import os
import shutil
import subprocess
import tarfile

import pytest
from rules_bento.bentos.service import isolated_build
from rules_bento.images.registry.layout import Layout

from tests.sharing.image_support import BACK
from tests.sharing.support import WRITE_WEB

SITE = "app/.venv/lib/python3.11/site-packages"
# A back end whose wheel has a list of what it sees, and which changes the project.
LISTING = f"""{WRITE_WEB}
import subprocess
def build_wheel(directory, settings=None, metadata=None):
    found = {{}}
    for parent, names, files in os.walk(TOP, followlinks=True):
        names[:] = sorted(name for name in names if name not in (".git", "__pycache__"))
        for name in (*names, *files):
            path = os.path.join(parent, name)
            found[os.path.relpath(path, TOP)] = open(path).read() if os.path.isfile(path) and name != "uv.lock" else ""
    run = subprocess.run(["git", "describe", "--tags", "--always"], capture_output=True, text=True) if GIT else None
    lines = [f"{{path}}: {{text.strip()}}" for path, text in sorted(found.items())]
    lines += [f"git: {{run.stdout or run.stderr}}"] if run else []
    for path in ("pyproject.toml", "made"): open(path, "a").write("changed")
    return write_web(directory, lines)
"""
IN_TREE = BACK.format("") + 'backend-path = ["back"]\n'
GIT = shutil.which("git", path="/usr/bin:/bin")  # as in builds; the PATH of the command has none


@pytest.fixture
def builds(monkeypatch):
    """The places of the projects whose back ends ran."""
    places, build_wheel = [], isolated_build.build_wheel

    def record(sources, *words):
        places.append(sources.place)
        return build_wheel(sources, *words)

    monkeypatch.setattr(isolated_build, "build_wheel", record)
    return places


def git(directory, *words):
    words = [GIT, "-c", "user.name=x", "-c", "user.email=x@x", "-c", "init.defaultBranch=main", *words]
    variables = {"PATH": os.defpath, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    times = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "1700000000 +0000")
    subprocess.run(words, cwd=directory, env=variables | times, check=True, capture_output=True)


def listing(out):
    """What the back end saw."""
    layout = Layout.open(out)
    layer = layout.blob([*layout.find().layers()][-1].digest)
    with tarfile.open(layer) as archive:
        return archive.extractfile(f"{SITE}/web/found").read().decode().splitlines()
