"""BentoPackage over libraries that take packages from a hub of rules_python: stated once, for the Python that is stated."""

import pytest
import yaml

from tests.actions.helper import LABEL, SERVICE, refused

HASH = "--hash=sha256:" + "0" * 64
PYTHON = {"options": {"docker": {"python_version": "3.12"}}}
PINS = ["--pin", "numpy==2.5.5", "--pin", "idna==3.10"]


def required(outcome):
    assert (outcome.code, outcome.errors) == (0, "")
    return yaml.safe_load(outcome.outputs["--bento-yaml"])["image"]["python_requirements"].splitlines()


def locked(actions, *lines):
    return ["--requirements-file", actions.write("requirements.txt", "".join(f"{line} {HASH}\n" for line in lines))]


# Of a requirements file without hashes, lines; and the requirements of the Bento.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "numpy==2.5.5 idna==3.10 bentoml==1.4.39"),
        *((f"{line}\nidna==3.10\n", [line, "idna==3.10", "bentoml==1.4.39"]) for line in ("numpy==2.5.5.0", "numpy==2.5.5.0  # why", "NumPy == 2.5.5", "numpy>=2\nnumpy==2.5.5.0")),
        ("numpy==2.5.5.0 ; sys_platform == 'darwin'\n", None),
    ],
)  # fmt: skip
def test_an_equal_version_is_the_same(actions, text, expected):
    """A version with a marker is not enough."""
    more = ["--requirements-file", actions.write("requirements.txt", text)] if text else []
    found = required(actions.package(*PINS, *more, **PYTHON))
    if expected is None:
        assert "numpy==2.5.5" in found
    else:
        assert found == (expected.split() if isinstance(expected, str) else "\n".join(expected).splitlines())


def test_a_file_with_hashes_has_them_already(actions):
    lines = ["idna==3.10", "bentoml==1.4.39", "numpy==2.5.5"]
    assert required(actions.package(*PINS, *locked(actions, *lines), **PYTHON)) == [f"{line} {HASH}" for line in lines]


@pytest.mark.parametrize(
    ("pins", "lines", "words"),
    [
        (PINS, "bentoml==1.4.39 numpy==2.5.5", "deps: the requirements file with hashes doesn't contain idna==3.10"),
        (PINS, "bentoml==1.4.39 numpy==2.4.4 idna==3.10", "conflicts with numpy==2.4.4 in the requirements. Lock the same version in the package hub and in the requirements."),
        (["--pin", "protobuf"], "bentoml==1.4.39", "deps: the requirements file with hashes doesn't contain protobuf"),
    ],
)  # fmt: skip
def test_a_file_with_hashes_that_differs_is_rejected(actions, pins, lines, words):
    refused(actions.package(*pins, *locked(actions, *lines.split()), **PYTHON), LABEL, words)


def test_a_file_without_hashes_that_has_another_version_is_rejected(actions):
    file = actions.write("requirements.txt", "numpy==2.4.4\nidna>=3\n")
    words = "deps: numpy==2.5.5 from a rules_python package hub conflicts with numpy==2.4.4 in the requirements."
    refused(actions.package(*PINS, "--requirements-file", file, **PYTHON), LABEL, words)


@pytest.mark.parametrize("option", ["requirements_txt: more.txt", "packages: [attrs]"])
def test_requirements_of_a_bentofile_do_not_take_their_place(actions, option):
    srcs = [actions.write("svc/service.py", SERVICE), actions.write("svc/more.txt", "attrs\n")]
    bentofile = actions.write("bentofile.yaml", f"service: service:Service\npython:\n  {option}\n")
    outcome = actions.package("--bentofile", bentofile, "bentofile.yaml", *PINS, srcs=srcs, **PYTHON)
    assert set(required(outcome)) == {"attrs", "numpy==2.5.5", "idna==3.10", "bentoml==1.4.39"}


@pytest.mark.parametrize("more", [{"spec": 1}, {}])
def test_their_python_is_not_guessed(actions, more):
    words = (
        "deps: numpy==2.5.5 is from a rules_python package hub, but the Python version is unknown. Set python_version"
    )
    refused(actions.package(*PINS, **more), LABEL, words)


@pytest.mark.parametrize("docker", [{"base_image": "registry.example.com/own:1"}, {"python_version": "3.13"}, None])
def test_a_declared_python_version_is_used(actions, docker):
    """Or the version of their hub."""
    hub = [] if docker else ["--python-version", "3.12", "--python-version-of-pins"]
    outcome = actions.package(*PINS, *hub, **({"options": {"docker": docker}} if docker else {}))
    assert "numpy==2.5.5" in required(outcome)
    if not docker:
        assert yaml.safe_load(outcome.outputs["--bento-yaml"])["image"]["python_version"] == "3.12"


def test_what_generated_code_imports_is_required_in_whichever_version(actions):
    assert required(actions.package("--pin", "protobuf")) == ["protobuf", "bentoml==1.4.39"]
    assert required(actions.package("--pin", "protobuf", "--pin", "protobuf==6.33", **PYTHON))[0] == "protobuf==6.33"
    file = ["--requirements-file", actions.write("requirements.txt", "protobuf>=6\n")]
    assert required(actions.package("--pin", "protobuf", *file)) == ["protobuf>=6", "bentoml==1.4.39"]
