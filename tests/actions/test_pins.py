"""BentoPackage over libraries that take packages from a hub of rules_python: stated once, for the Python that is stated."""

import pytest
import yaml

from tests.actions.helper import LABEL, SERVICE
from tests.actions.test_errors import refused

HASH = "--hash=sha256:" + "0" * 64
PYTHON = {"options": {"docker": {"python_version": "3.12"}}}
PINS = ["--pin", "numpy==2.5.5", "--pin", "idna==3.10"]


def required(outcome):
    assert (outcome.code, outcome.errors) == (0, "")
    return yaml.safe_load(outcome.outputs["--bento-yaml"])["image"]["python_requirements"].splitlines()


def locked(actions, *lines):
    return ["--requirements-file", actions.write("requirements.txt", "".join(f"{line} {HASH}\n" for line in lines))]


def test_they_are_required(actions):
    assert required(actions.package(*PINS, **PYTHON)) == ["numpy==2.5.5", "idna==3.10", "bentoml==1.4.39"]


@pytest.mark.parametrize(
    "line", ["numpy==2.5.5.0", "numpy==2.5.5.0  # why", "NumPy == 2.5.5", "numpy>=2\nnumpy==2.5.5.0"]
)
def test_an_equal_version_is_the_same(actions, line):
    file = actions.write("requirements.txt", f"{line}\nidna==3.10\n")
    expected = [*line.splitlines(), "idna==3.10", "bentoml==1.4.39"]
    assert required(actions.package(*PINS, "--requirements-file", file, **PYTHON)) == expected


def test_a_version_with_a_marker_is_not_enough(actions):
    file = actions.write("requirements.txt", "numpy==2.5.5.0 ; sys_platform == 'darwin'\n")
    assert "numpy==2.5.5" in required(actions.package(*PINS, "--requirements-file", file, **PYTHON))


def test_a_file_with_hashes_has_them_already(actions):
    lines = ["idna==3.10", "bentoml==1.4.39", "numpy==2.5.5"]
    assert required(actions.package(*PINS, *locked(actions, *lines), **PYTHON)) == [f"{line} {HASH}" for line in lines]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["bentoml==1.4.39", "numpy==2.5.5"], "deps: the requirements file with hashes doesn't contain idna==3.10"),
        (
            ["bentoml==1.4.39", "numpy==2.4.4", "idna==3.10"],
            "conflicts with numpy==2.4.4 in the requirements. Lock the same version in the package hub and in the requirements.",
        ),
    ],
)
def test_a_file_with_hashes_that_differs_is_rejected(actions, lines, words):
    refused(actions.package(*PINS, *locked(actions, *lines), **PYTHON), LABEL, words)


def test_a_bentofile_with_requirements_does_not_take_their_place(actions):
    srcs = [actions.write("svc/service.py", SERVICE), actions.write("svc/more.txt", "attrs\n")]
    bentofile = actions.write("bentofile.yaml", "service: service:Service\npython:\n  requirements_txt: more.txt\n")
    outcome = actions.package("--bentofile", bentofile, "bentofile.yaml", *PINS, srcs=srcs, **PYTHON)
    assert set(required(outcome)) == {"attrs", "numpy==2.5.5", "idna==3.10", "bentoml==1.4.39"}


@pytest.mark.parametrize("more", [{"spec": 1}, {}])
def test_their_python_is_not_guessed(actions, more):
    words = (
        "deps: numpy==2.5.5 is from a rules_python package hub, but the Python version is unknown. Set python_version"
    )
    refused(actions.package(*PINS, **more), LABEL, words)


def test_their_python_is_the_one_of_the_bento(actions):
    outcome = actions.package(*PINS, "--python-version", "3.12", "--python-version-of-pins")
    assert "numpy==2.5.5" in required(outcome)
    assert yaml.safe_load(outcome.outputs["--bento-yaml"])["image"]["python_version"] == "3.12"


@pytest.mark.parametrize(
    "options", [{"docker": {"base_image": "registry.example.com/own:1"}}, {"docker": {"python_version": "3.13"}}]
)
def test_a_declared_python_version_is_used(actions, options):
    assert "numpy==2.5.5" in required(actions.package(*PINS, options=options))


def test_nor_those_of_a_bentofile_with_packages(actions):
    bentofile = actions.write("bentofile.yaml", "service: service:Service\npython:\n  packages: [attrs]\n")
    outcome = actions.package("--bentofile", bentofile, "bentofile.yaml", *PINS, **PYTHON)
    assert set(required(outcome)) == {"attrs", "numpy==2.5.5", "idna==3.10", "bentoml==1.4.39"}


def test_a_file_without_hashes_that_has_another_version_is_rejected(actions):
    file = actions.write("requirements.txt", "numpy==2.4.4\nidna>=3\n")
    words = "deps: numpy==2.5.5 from a rules_python package hub conflicts with numpy==2.4.4 in the requirements."
    refused(actions.package(*PINS, "--requirements-file", file, **PYTHON), LABEL, words)


def test_what_generated_code_imports_is_required_in_whichever_version(actions):
    assert required(actions.package("--pin", "protobuf")) == ["protobuf", "bentoml==1.4.39"]
    assert required(actions.package("--pin", "protobuf", "--pin", "protobuf==6.33", **PYTHON))[0] == "protobuf==6.33"
    file = actions.write("requirements.txt", "protobuf>=6\n")
    assert required(actions.package("--pin", "protobuf", "--requirements-file", file)) == [
        "protobuf>=6",
        "bentoml==1.4.39",
    ]


def test_what_generated_code_imports_is_not_excluded_of_a_file_with_hashes(actions):
    words = "deps: the requirements file with hashes doesn't contain protobuf"
    refused(actions.package("--pin", "protobuf", *locked(actions, "bentoml==1.4.39")), LABEL, words)
