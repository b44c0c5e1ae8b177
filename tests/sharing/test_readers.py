"""What the kernel refuses to a bug in each function that parses, unpacks, or packs what a stranger wrote."""

import platform
import socket
import sys

import pytest
from bento_cli.projects import image_table, uv_lock_check
from bento_cli.projects.uv_project import UvProject
from bento_cli.sharing import (
    base_syntax,
    extra_files,
    native_base,
    native_bytecode,
    native_image,
    native_project,
    project_files,
)
from rules_bento.base import landlock
from rules_bento.base.archives import unpack
from rules_bento.base.errors import BentoError
from rules_bento.bentos.models import model_store
from rules_bento.bentos.sources import secrets, snapshot
from rules_bento.images import plan, soci, unpack_image
from rules_bento.images.debian import any_base
from rules_bento.images.layers import ztoc
from rules_bento.images.registry import base_images
from rules_bento.images.reports import bento_report, html_page
from rules_bento.images.reports.layer_contents import LayerReader
from rules_bento.images.wheels.libraries import Libraries
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.store_support import model_files
from tests.sharing.debian_support import SYSTEM
from tests.sharing.image_support import APP, add, locked, make_base, start_own

VERSION = platform.python_version()
MINOR = VERSION.rpartition(".")[0]
IMAGE = {
    "the layers of a base": (native_base, "_inspect"),
    "the digests of a base": (native_base, "check_layers"),
    "the files of a base": (any_base, "read_tree"),
    "an interpreter of a base": (unpack_image, "unpack"),
    "modules of a base": (plan, "write_library_layer"),
    "Debian packages": (any_base, "write_packages"),
    "a wheel": (Wheel, "read"),
    "the files of a wheel": (Libraries, "read"),
    "a layer of a wheel": (plan, "write_wheel_layer"),
    "a part of a layer": (plan, "write_wheel_part"),
    "modules of a wheel": (plan, "write_bytecode_part"),
    "parts of a layer": (plan, "join_parts"),
    "a layer of files": (plan, "write_files_layer"),
    "a compressed layer": (ztoc, "make"),
    "--file": (extra_files, "_expand"),
    "contents of --file": (snapshot, "read_prefixes"),
    "secrets": (secrets, "scan_files"),
    "a project": (UvProject, "read"),
    "files of a project": (project_files, "select"),
    "contents of a project": (snapshot, "read_entry"),
    "a table": (image_table, "of_document"),
    "a lock": (uv_lock_check, "check"),
    "a command": (native_project, "find_command"),
    "code": (base_syntax, "check"),
}
BENTO = {
    "a model": (model_store, "from_files"),
    "a layer of a model": (plan, "write_files_layer"),
    "a layer of a Bento": (native_image, "write_tar_layer"),
}
REPORT = {
    "the digests of an image": (base_images, "check_layers"),
    "the layers of an image": (LayerReader, "add"),
    "an archive of a Bento": (unpack, "read"),
    "the descriptor of a Bento": (bento_report, "packages"),
    "a page": (html_page, "page"),
}


@pytest.fixture
def bugs(tmp_path, monkeypatch):
    """Plants bugs: functions also write to a file of the user, and connect to a server, each time that they are called.

    Returns what the kernel did, by the names of the functions.
    """
    if reason := landlock.problem() or ("" if landlock._version() >= 4 else "Landlock limits no TCP"):
        pytest.skip(reason)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    user = tmp_path / "home/.bashrc"
    user.parent.mkdir(exist_ok=True)
    user.write_text("mine")
    with socket.create_server(("127.0.0.1", 0)) as attacker:

        def plant(readers):
            done = {name: set() for name in readers}

            def planted(name, original):
                def call(*words, **named):
                    for attempt in (lambda: user.open("a"), lambda: socket.create_connection(attacker.getsockname())):
                        try:
                            attempt().close()
                            done[name].add("done")
                        except PermissionError:
                            done[name].add("refused")
                    return original(*words, **named)

                return call

            for name, (owner, function) in readers.items():
                monkeypatch.setattr(owner, function, planted(name, getattr(owner, function)))
            return done

        yield plant
    assert user.read_text() == "mine"


def find(build, base, version, mode):
    """As if the base's interpreter, which can't start, had been tried first."""
    with pytest.raises(BentoError):
        native_bytecode._start_in_base(build, base, mode)
    return start_own(build, base, version, mode)


def test_bugs_of_readers_of_a_project_and_a_base(machine, mirror, bento, tmp_path, monkeypatch, bugs):
    monkeypatch.setattr(soci, "MIN_LAYER", 0)
    monkeypatch.setattr(base_syntax, "find", find)
    table = '[tool.bento.image]\nenv = { ONE = "1" }\n'
    files = {"main.py": APP, "added/one": "1"}
    project = machine(files, "fastapi", "uvicorn", "large", pyproject=table)
    mirror(project, ["vim"], "libvim", "vim")
    python = {"usr/bin/python3": f"python{MINOR}", f"usr/bin/python{MINOR}": b"\x7fELF"}
    system = {path: data for path, data in SYSTEM.items() if "python" not in path}
    system |= python | {f"usr/lib/python{MINOR}/re.py": b"X = 1\n"}
    base = make_base(tmp_path / "base", system, ("PATH=/usr/bin", f"PYTHON_VERSION={VERSION}"))
    done = bugs(IMAGE)
    words = ["--file", f"{project}/added=/etc/added", "--apt=vim", "--soci", f"--bytecode-python={sys.executable}"]
    bento("image", project, "--base", f"oci:{base}", "--output", f"oci:{tmp_path / 'out'}", *words)
    assert done == {name: {"refused"} for name in IMAGE}


def test_bugs_of_readers_of_a_bento(local, wheels, bento, store, tmp_path, bugs):
    add(store, tmp_path, locked(wheels), models={"bert:v1": model_files("bert:v1")})
    done = bugs(BENTO)
    words = ["--base", f"oci:{make_base(tmp_path / 'base')}", "--output", f"oci:{tmp_path / 'out'}"]
    bento("containerize", "nat", *words)
    assert done == {name: {"refused"} for name in BENTO}


def test_bugs_of_readers_of_reports(bento, store, tmp_path, bugs):
    add(store, tmp_path, b"")
    bento("export", "nat", str(tmp_path / "nat.bento"))
    done = bugs(REPORT)
    for target in ("nat", str(tmp_path / "nat.bento"), f"oci:{make_base(tmp_path / 'base')}"):
        bento("report", target, "--output", str(tmp_path / "report.html"))
    assert done == {name: {"refused"} for name in REPORT}
