"""BentoEnvironment: an image is checked where it is defined, and written for all Bentos that have it."""

import json

import pytest

from tests.actions.test_errors import refused

TARGET = "//envs:gpu"
SCRIPT = "#!/bin/sh\necho set up\n"


def environment(actions, steps=(), extends=None, **fields):
    """BentoEnvironment of the package `envs`, with a script and requirements."""
    files = {"envs/setup.sh": SCRIPT, "envs/setup.py": "print()\n", "envs/r.txt": "-r more.txt\nidna\n"}
    files |= {"envs/more.txt": "attrs\n", "envs/options.txt": "--pre\n", "envs/wrong.txt": "idna\n=broken\n"}
    arguments = ["--target", TARGET, "--package", "envs", "--image", json.dumps(fields | {"steps": list(steps)})]
    for path, text in files.items():
        arguments += ["--source", path, actions.write(path, text)]
    if extends:
        arguments += ["--extends", actions.write("base.json", extends), "//envs:base"]
    return actions.run("environment", arguments, {"--output": "image.json"})


def image(outcome):
    assert (outcome.code, outcome.errors) == (0, "")
    return json.loads(outcome.outputs["--output"])


def test_files_are_known_from_the_root_and_requirements_by_their_text(actions):
    made = image(environment(actions, [["run_script", "setup.sh"], ["requirements_file", "r.txt"]], distro="alpine"))
    assert made == {"distro": "alpine", "steps": [["run_script", "envs/setup.sh"], ["requirements", "attrs\nidna\n"]]}


def test_one_extends_another(actions):
    base = environment(actions, [["system_packages", "curl"], ["python_packages", "idna"]], python_version="3.11")
    made = image(
        environment(
            actions, [["run", "echo"]], extends=base.outputs["--output"], python_version="3.12", distro="debian"
        )
    )
    assert made["steps"] == [["system_packages", "curl"], ["python_packages", "idna"], ["run", "echo"]]
    assert (made["python_version"], made["distro"]) == ("3.12", "debian")


@pytest.mark.parametrize(
    ("steps", "fields", "words"),
    [
        ([["run_script", "setup"]], {}, ["run_script: 'setup' isn't in srcs. Add the file"]),
        ([["run_script", "../setup.sh"]], {}, ["run_script: '../setup.sh' isn't in srcs"]),
        ([["run_script", "setup.py"]], {}, ["envs/setup.py has no shebang. Add"]),
        ([["wheels", "a.whl"]], {}, ["wheels: 'a.whl' isn't in srcs"]),
        ([["requirements_file", "options.txt"]], {}, ["options.txt lists no packages. Add packages"]),
        ([["requirements_file", "wrong.txt"]], {}, ["envs/wrong.txt:2: invalid requirement '=broken'"]),
        ([["rnu", "a"]], {}, ["unknown image step 'rnu'. Did you mean 'run'?"]),
        ([], {"python_version": "3.7"}, ["Python 3.7 isn't supported. Use 3.9"]),
    ],
)
def test_what_no_image_can_have(actions, steps, fields, words):
    refused(environment(actions, steps, **fields), TARGET, *words)


def test_packages_behind_the_commands_of_what_it_extends(actions):
    base = environment(actions, [["python_packages", "idna"], ["run", "echo"]])
    (actions.root / "bazel-out/environment.image.json").unlink()
    outcome = environment(actions, [["python_packages", "attrs"]], extends=base.outputs["--output"])
    words = (
        "python_packages follows a command that runs after the installation of the Python packages",
        "Move python_packages before the command",
    )
    refused(outcome, TARGET, *words)
