"""Forms of code that might change a service: static analysis rejects each, or gives what BentoML gives.

`hostile_forms.txt` has the forms: `=== name [service]`, and the files after `--- path`. The service is `service:Svc`.
`+` before the name marks a form that static analysis supports.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from rules_bento.base.comparison_program import differences
from rules_bento.base.errors import BentoError
from rules_bento.bentos.service import read_service, to_json

from tests.conftest import Answering
from tests.helpers.service_cases import SERVICES

FORMS = re.split(r"^=== ", Path(__file__).with_name("hostile_forms.txt").read_text("utf-8"), flags=re.MULTILINE)[1:]


def parse(form: str) -> tuple[str, dict[str, str]]:
    """Return the import string and the files of a form."""
    head, *parts = re.split(r"^--- ", form, flags=re.MULTILINE)
    files = {path: content for path, _, content in (part.partition("\n") for part in parts)}
    service = re.search(r"\[(.*)\]$", head.strip())
    return service[1] if service else "service:Svc", files


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    script = Path(__file__).with_name("importing_all.py")
    program = Answering(tmp_path_factory.mktemp("bentoml"), script, SERVICES / "record.py")
    yield program
    program.close()


def imported(program: Answering, service: str, files: dict[str, str], directory: Path) -> dict:
    """Return what importing a form with BentoML gives."""
    for path, content in files.items():
        (directory / "src" / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / "src" / path).write_text(content, "utf-8")
    order = {"service": service, "source": str(directory / "src"), "arguments": {}, "aliases": {}, "elsewhere": False}
    order |= {"packages": [], "remedy": "", "seconds": 60}
    order |= {"answer": str(directory / "answer"), "trace": str(directory / "trace")}
    program.ask({"order": order, "variables": {"P": "/p", "T": "t"}})
    return json.loads((directory / "answer").read_text("utf-8") or '{"problem": "no answer"}')


@pytest.mark.parametrize("part", range(10))
def test_a_form_is_rejected_or_read_as_bentoml_does(part, program, tmp_path):
    wrong = []
    for number, form in enumerate(FORMS[part::10]):
        service, files = parse(form)
        is_static = is_supported(service, {path: content.encode() for path, content in files.items()})
        if is_static != form.startswith("+"):
            wrong.append((form, "supported" if is_static else "rejected"))
        if is_static:
            info = read_service(service, {path: content.encode() for path, content in files.items()})
            answer = imported(program, service, files, tmp_path / str(number))
            ours = json.loads(json.dumps(to_json(info)))
            found = differences(ours, answer.get("metadata", answer))
            wrong += [(form, str(each)) for each in found if not each[0].endswith(".line")]
    assert not wrong, "\n".join(f"{form}\n{why}" for form, why in wrong)


def is_supported(service: str, files: dict[str, bytes]) -> bool:
    try:
        return not read_service(service, files).unknowns
    except BentoError:
        return False
