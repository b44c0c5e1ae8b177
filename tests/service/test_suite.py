"""Importing each service of the suite gives what `bentoml build` wrote of it.

`test_service.py` holds the same of reading, but for what is unknown to it: together, what is read is what is imported.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from rules_bento.base.comparison_program import differences as fields
from rules_bento.bentos.service import from_json

from tests.conftest import Answering
from tests.helpers.service_cases import CASES, TRUTHS, differences
from tests.services import record

# Its image is changed by hand, which isn't supported.
IMAGE_BY_HAND = "trick_objects_changed_later"
# BentoML takes the workers of a service with a command from the machine; importing leaves them open, as reading does.
OF_THE_MACHINE = ("config_command", "config_command_workers")


@pytest.fixture(scope="module")
def imports(tmp_path_factory):
    script = Path(__file__).with_name("importing_all.py")
    program = Answering(tmp_path_factory.mktemp("bentoml"), script, Path(record.__file__))

    def importing(service: str, source: Path, variables: dict[str, str], *, elsewhere: bool) -> dict:
        answer = source.with_name("there.json" if elsewhere else "here.json")
        order = {
            "service": service,
            "source": str(source),
            "arguments": {},
            "aliases": {},
            "elsewhere": elsewhere,
            "packages": {},
            "remedy": "",
            "seconds": 60,
            "answer": str(answer),
            "trace": str(source.with_name("trace")),
        }
        assert program.ask({"order": order, "variables": variables}) == "0\n"
        return json.loads(answer.read_text("utf-8"))

    yield importing
    program.close()


@pytest.mark.parametrize("name", CASES)
def test_what_bentoml_wrote(name, imports):
    service = CASES[name].service
    for truth in TRUTHS[name]:
        with tempfile.TemporaryDirectory(prefix="rules_bento-") as scratch:
            source = record.write_files(CASES[name].files, Path(scratch).resolve() / "src")
            here = imports(service, source, truth["with"], elsewhere=False)
            if name == IMAGE_BY_HAND:
                assert "the image was copied, or modified without the methods of Image" in here["problem"]
                continue
            assert "problem" not in here, here
            there = imports(service, source, truth["with"], elsewhere=True)
            assert [*fields(here, there)] == []
        wrong = [
            line
            for fields, line in differences(from_json(here["metadata"]), truth)
            if not (name in OF_THE_MACHINE and fields[0] == "config.workers")
        ]
        assert not wrong, f"with {truth['with']}: {wrong}"
