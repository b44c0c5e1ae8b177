"""Migrates BentoML projects to Bazel. The bentofile remains, and Bazel reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from workbench import with_python_here

if TYPE_CHECKING:
    from workbench import Checkout, Workbench

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
# The rule's default creation time.
CREATION_TIME = "1980-01-01T00:00:00+00:00"
# As in official examples: an extra in pyproject.toml; constraints, a manually stored model, and another Python.
OTHERS = {
    "monitored": {
        "pyproject.toml": """\
[project]
name = "monitored"
requires-python = ">=3.12"
dependencies = ["bentoml[monitor-otlp]==1.4.39", "pywin32 ; sys_platform == 'win32'"]
[tool.bentoml.build]
service = "service:Greeter"
""",
        "service.py": FILES["service.py"],
    },
    "with-model": {
        "bentofile.yaml": """\
service: "service:Greeter"
models: ["My-Model:V1"]
docker: {python_version: "3.10"}
python: {requirements_txt: r.txt}
""",
        "r.txt": "-c limits.txt\nbentoml==1.4.39\nidna\n",
        "limits.txt": "idna<3.10\n",
        "models/my-model/weights.txt": "1 2 3\n",
        "service.py": """\
import bentoml


@bentoml.service
class Greeter:
    model = bentoml.models.BentoModel("My-Model:V1")
""",
    },
}


def project_migrates(bench: Workbench) -> str:
    """Build the output of `bento migrate`: an option rebuilds little, and `bento build` writes the same bytes."""
    checkout = bench.consumer()
    checkout.write("MODULE.bazel", with_python_here(MODULE + DEPENDENCY))
    for path, text in FILES.items():
        checkout.write(f"svc/{path}", text)
    migrated(checkout)
    other_projects_migrate(checkout)
    an_option_reruns_one_action(checkout)
    size = command_builds_equal_bytes(checkout)
    return f"three projects migrated and built, and the same {size} bytes by `bento build`"


def bento(checkout: Checkout, *words: str) -> str:
    return checkout.bazel("run", "@rules_bento//tools:bento", "--", *words).succeeded().output


def moved(checkout: Checkout, directory: str) -> dict[str, str]:
    """Let the command write its files, and lock as the first note describes."""
    made = json.loads(bento(checkout, "migrate", directory, "--write", "-o", "json"))
    update = f"//{directory}:requirements.update"
    assert f"`bazel run {update}`" in made["notes"][0], made["notes"]
    checkout.bazel("run", update).succeeded()
    checkout.bazel("test", f"//{directory}:requirements_test").succeeded()
    return made


def migrated(checkout: Checkout) -> None:
    moved(checkout, "svc")
    checkout.build(TARGET, "--output_groups=+bento_yaml")
    written = checkout.read("bazel-bin/svc/greeter_bento.bento.yaml")
    for part in ("owner: e2e", "--force-confdef curl", "./env/docker/script__", "name: MODE", "bentoml=="):
        assert part in written, f"{part!r} is missing in\n{written}"


def other_projects_migrate(checkout: Checkout) -> None:
    """Migrate further projects, each with a separate package hub for its own Python version."""
    for directory, files in OTHERS.items():
        for path, text in files.items():
            checkout.write(f"{directory}/{path}", text)
        moved(checkout, directory)
    names = ("monitored_bento", "greeter_bento")
    targets = [f"//{directory}:{name}" for directory, name in zip(OTHERS, names, strict=True)]
    checkout.build(*targets, "--output_groups=+bento_yaml")
    monitored, with_model = (bento_yaml(checkout, target) for target in targets)
    assert "opentelemetry-exporter-otlp" in monitored, monitored
    assert "pywin32" not in monitored, monitored
    for part in ("tag: my-model:v1", "python_version: '3.10'", "idna==3.9"):
        assert part in with_model, f"{part!r} is missing in\n{with_model}"


def bento_yaml(checkout: Checkout, target: str) -> str:
    """Return the bento.yaml of a target. With another Python version, it isn't in bazel-bin."""
    asked = checkout.bazel("cquery", target, "--output=files", "--output_groups=bento_yaml").succeeded()
    [path] = asked.output.split()
    return checkout.read(path)


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
