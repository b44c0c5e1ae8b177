"""A project of BentoML's moves over: its bentofile stays, and Bazel reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from workbench import with_python_here

if TYPE_CHECKING:
    from workbench import Checkout, Workbench

WORKSPACE = "e2e/moved"
MODULE = """\
module(name = "moved")
local_path_override(module_name = "rules_bento", path = "../..")
"""
DEPENDENCY = 'bazel_dep(name = "rules_bento", version = "0.1.0")\n'
BENTOFILE = """\
service: "service:Greeter"
labels: {owner: e2e}
include: ["*.py", "words/"]
docker:
  system_packages: [curl]
  setup_script: scripts/setup.sh
python:
  packages: [bentoml]
envs:
  - {name: MODE, value: test}
"""
FILES = {
    "bentofile.yaml": BENTOFILE,
    "service.py": "import bentoml\n\n\n@bentoml.service\nclass Greeter:\n    pass\n",
    "words/hello.txt": "hello\n",
    "notes.txt": "not in the Bento\n",
    "scripts/setup.sh": "#!/bin/sh\necho set up\n",
}
TARGET = "//svc:greeter_bento"


def a_project_moves_over(bench: Workbench) -> str:
    """`bento migrate` prints what is then built; an option rebuilds little; the command makes the rule's bytes."""
    checkout = bench.checkout("moved")
    checkout.write(f"{WORKSPACE}/MODULE.bazel", with_python_here(MODULE + DEPENDENCY))
    checkout.write(f"{WORKSPACE}/BUILD.bazel", "")
    for path, text in FILES.items():
        checkout.write(f"{WORKSPACE}/svc/{path}", text)
    migrated(checkout)
    an_option_locks_nothing_again(checkout)
    size = the_command_makes_the_same_bytes(checkout)
    return f"migrated, built, and the same {size} bytes by `bento build`"


def bento(checkout: Checkout, *words: str) -> str:
    return checkout.bazel("run", "@rules_bento//tools:bento", "--", *words, workspace=WORKSPACE).succeeded().output


def migrated(checkout: Checkout) -> None:
    made = json.loads(bento(checkout, "migrate", "svc", "-o", "json"))
    # What the notes ask for: a lock. That of another workspace has the same packages.
    lock = json.loads(checkout.read("e2e/smoke/requirements.lock.json"))
    assert "bentoml" in {package["name"] for package in lock["packages"]}
    checkout.write(f"{WORKSPACE}/svc/requirements.lock.json", json.dumps(lock))
    module = made["module"].replace("requirements.lock", "requirements.lock.json")
    checkout.write(f"{WORKSPACE}/MODULE.bazel", with_python_here(MODULE + module))
    checkout.write(f"{WORKSPACE}/svc/BUILD.bazel", made["build"])
    checkout.build(TARGET, "--output_groups=+bento_yaml", workspace=WORKSPACE)
    written = checkout.read(f"{WORKSPACE}/bazel-bin/svc/greeter_bento.bento.yaml")
    for part in ("owner: e2e", "--force-confdef curl", "./env/docker/script__", "name: MODE", "bentoml=="):
        assert part in written, f"{part!r} is missing in\n{written}"


def an_option_locks_nothing_again(checkout: Checkout) -> None:
    checkout.edit(f"{WORKSPACE}/svc/bentofile.yaml", "[curl]", "[git]")
    ran = checkout.build(TARGET, workspace=WORKSPACE).ran
    assert ran == ["BentoArchive", "BentoPackage", "BentoSnapshot"], ran
    checkout.write(f"{WORKSPACE}/svc/notes.txt", "changed\n")
    assert checkout.build(TARGET, workspace=WORKSPACE).ran == [], "no option names the file"
    checkout.write(f"{WORKSPACE}/svc/scripts/setup.sh", "#!/bin/sh\necho again\n")
    assert checkout.build(TARGET, workspace=WORKSPACE).ran == ran, "an option names the file"


def the_command_makes_the_same_bytes(checkout: Checkout) -> int:
    """Where no hub locks the packages, which is what Bazel is for."""
    checkout.edit(f"{WORKSPACE}/svc/BUILD.bazel", '    requirements = ["@pypi//bentoml"],\n', "")
    checkout.build(TARGET, workspace=WORKSPACE)
    bento(checkout, "build", "svc", "--archive", "by_command.bento")
    ours = checkout.root / WORKSPACE / "by_command.bento"
    assert ours.read_bytes() == (checkout.root / WORKSPACE / "bazel-bin/svc/greeter_bento.bento").read_bytes()
    return ours.stat().st_size
