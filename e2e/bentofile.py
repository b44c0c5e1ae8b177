"""Builds a project of BentoML with Bazel, which reads its bentofile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench import with_python_here

if TYPE_CHECKING:
    from workbench import Checkout, Workbench

MODULE = """\
module(name = "moved")
local_path_override(module_name = "rules_bento", path = "../..")
"""
DEPENDENCY = """\
bazel_dep(name = "rules_bento", version = "0.1.0")
bento = use_extension("@rules_bento//toolchains:extensions.bzl", "bento")
bento.pypi(name = "pypi", lock = "//svc:requirements.lock.json")
use_repo(bento, "pypi")
"""
BUILD = """\
load("@rules_bento//rules:defs.bzl", "bento_requirements", "bento_service")

bento_service(
    name = "greeter",
    srcs = glob(["**"], exclude = ["BUILD.bazel", "*.lock.json"]),
    bentofile = "bentofile.yaml",
    requirements = ["@pypi//bentoml"],
    service = "service:Greeter",
)

bento_requirements(name = "requirements", srcs = ["bentofile.yaml"])
"""
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
    "BUILD.bazel": BUILD,
    "requirements.lock.json": "",
    "bentofile.yaml": BENTOFILE,
    "service.py": "import bentoml\n\n\n@bentoml.service\nclass Greeter:\n    pass\n",
    "words/hello.txt": "hello\n",
    "notes.txt": "not in the Bento\n",
    "scripts/setup.sh": "#!/bin/sh\necho set up\n",
}
TARGET = "//svc:greeter_bento"
# The rule's default creation time.
CREATION_TIME = "1980-01-01T00:00:00+00:00"


def bentofile_is_built(bench: Workbench) -> str:
    """Build a project with its bentofile: an option rebuilds little, and `bento build` writes the same bytes."""
    checkout = bench.consumer()
    checkout.write("MODULE.bazel", with_python_here(MODULE + DEPENDENCY))
    for path, text in FILES.items():
        checkout.write(f"svc/{path}", text)
    built_with_its_options(checkout)
    an_option_reruns_one_action(checkout)
    size = command_builds_equal_bytes(checkout)
    return f"a project is locked and built, and has the same {size} bytes by `bento build`"


def bento(checkout: Checkout, *words: str) -> str:
    return checkout.bazel("run", "@rules_bento//tools:bento", "--", *words).succeeded().output


def built_with_its_options(checkout: Checkout) -> None:
    checkout.bazel("run", "//svc:requirements.update").succeeded()
    checkout.bazel("test", "//svc:requirements_test").succeeded()
    checkout.build(TARGET, "--output_groups=+bento_yaml")
    written = checkout.read("bazel-bin/svc/greeter_bento.bento.yaml")
    for part in ("owner: e2e", "--force-confdef curl", "./env/docker/script__", "name: MODE", "bentoml=="):
        assert part in written, f"{part!r} is missing in\n{written}"


def an_option_reruns_one_action(checkout: Checkout) -> None:
    checkout.edit("svc/bentofile.yaml", "[curl]", "[git]")
    ran = checkout.build(TARGET).ran
    assert ran == ["BentoPackage"], ran
    checkout.write("svc/notes.txt", "changed\n")
    assert checkout.build(TARGET).ran == [], "the build reads a file that no option refers to"
    checkout.write("svc/scripts/setup.sh", "#!/bin/sh\necho again\n")
    assert checkout.build(TARGET).ran == ran, "the build ignores a file that an option refers to"


def command_builds_equal_bytes(checkout: Checkout) -> int:
    """Compare `bento build` with the rule without the package hub, which the command doesn't support."""
    checkout.edit("svc/BUILD.bazel", '    requirements = ["@pypi//bentoml"],\n', "")
    checkout.build(TARGET)
    bento(checkout, "build", "svc", "--no-lock", "--archive", "by_command.bento", "--creation-time", CREATION_TIME)
    ours = checkout.directory / "by_command.bento"
    assert ours.read_bytes() == (checkout.directory / "bazel-bin/svc/greeter_bento.bento").read_bytes()
    return ours.stat().st_size
