"""The API that importing gives is what `bentoml build` writes, for services of the suite and each golden Bento.

Real BentoML builds each of them, so a usual run takes those of the suite whose APIs differ, and each fourth of the others, of
which tests/service holds all else; RULES_BENTO_EXAMPLES=all takes all.
"""

import json
import os
import tempfile
from pathlib import Path

import pytest
import yaml

from tests.conftest import Answering
from tests.helpers.projects import HERE, write_project
from tests.helpers.service_cases import CASES
from tests.services import record

GOLDEN = HERE / "golden" / "bentos"
PROJECTS = yaml.safe_load((GOLDEN / "projects.yaml").read_text("utf-8"))
OTHER_APIS = ("api_", "mount_", "legacy_")
BY_HAND = "trick_objects_changed_later"  # imports reject its image
_ALL = sorted(CASES.keys() - {BY_HAND})
_ALIKE = [name for name in _ALL if not name.startswith(OTHER_APIS)]
NAMES = _ALL if os.environ.get("RULES_BENTO_EXAMPLES") == "all" else sorted({*_ALL} - {*_ALIKE} | {*_ALIKE[::4]})


class Comparison:
    """Real BentoML beside the inspection, many times over one import of it."""

    def __init__(self, directory: Path, *models: Path) -> None:
        program = Path(__file__).with_name("comparing.py")
        self._program = Answering(directory, program, Path(record.__file__), *models)

    def __call__(self, directory: Path, service: str, scratch: Path) -> dict:
        order = {"folder": str(directory), "service": service, "scratch": str(scratch)}
        return json.loads(self._program.ask(order))

    def close(self) -> None:
        self._program.close()


@pytest.fixture
def tmp_path():
    """A folder of which no parent is hidden, as those of Bazel's are: BentoML refuses files in such."""
    with tempfile.TemporaryDirectory(prefix="rules_bento-") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def compare(tmp_path_factory):
    comparison = Comparison(tmp_path_factory.mktemp("bentoml"))
    yield comparison
    comparison.close()


def agrees(found: dict) -> None:
    assert found["built"], found["log"]
    assert found["problem"] is None, found
    for part in ("openapi", "schema", "document"):
        ours, real = found[part]
        assert ours == (real if real is not None else "{}"), part


@pytest.mark.parametrize("name", NAMES)
def test_the_suite_of_static_reading(compare, name, tmp_path):
    project = record.write_files(CASES[name].files, tmp_path / "project")
    agrees(compare(project, CASES[name].service, tmp_path))


@pytest.fixture(scope="module")
def compare_golden(tmp_path_factory):
    """With the models that the golden Bentos name in the store."""
    store = tmp_path_factory.mktemp("store") / "models"
    for path in GOLDEN.glob("model_*.yaml"):
        document = yaml.safe_load(path.read_text("utf-8"))
        entry = store / document["name"] / document["version"]
        entry.mkdir(parents=True)
        (entry / "model.yaml").write_bytes(path.read_bytes())
        (entry.parent / "latest").write_text(document["version"], "utf-8")
        (entry / "saved_model.pkl").write_bytes(b"weights")
    comparison = Comparison(tmp_path_factory.mktemp("golden"), store)
    yield comparison
    comparison.close()


@pytest.mark.parametrize("name", PROJECTS)
def test_golden_bentos(compare_golden, name, tmp_path):
    project = write_project(tmp_path / "project", PROJECTS[name], "")
    found = compare_golden(project, PROJECTS[name].get("service", ""), tmp_path)
    agrees(found)
    for part, suffix, read in (("openapi", "openapi.yaml", yaml.safe_load), ("schema", "schema.json", json.loads)):
        golden = GOLDEN / f"{name}.{suffix}"
        if golden.exists():
            ours, theirs = found[part][0], read(golden.read_text("utf-8"))
            if part == "openapi":
                ours = read(ours)
                ours["info"]["description"] = "<contents of README.md>"  # as the golden files have it
            assert ours == theirs
