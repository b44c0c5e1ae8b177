"""Forms of code that might change a service: static analysis rejects each, or gives what BentoML gives.

`hostile_forms.txt` has the forms, in the format of `tests/services/services.txt`.
`+` before the name marks a form that static analysis supports.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rules_bento.base.comparison_program import differences
from rules_bento.base.errors import BentoError
from rules_bento.bentos.service import read_service, to_json

from tests.conftest import Answering
from tests.services import record

FORMS = record.read_table(Path(__file__).with_name("hostile_forms.txt"))


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    script = Path(__file__).with_name("importing_all.py")
    program = Answering(tmp_path_factory.mktemp("bentoml"), script, Path(record.__file__))
    yield program
    program.close()


def imported(program: Answering, form: record.Case, directory: Path) -> dict:
    """Return what importing a form with BentoML gives."""
    source = record.write_files(form.files, directory / "src")
    order = {"service": form.service, "source": str(source), "arguments": {}, "aliases": {}, "elsewhere": False}
    order |= {"packages": {}, "remedy": "", "seconds": 60}
    order |= {"answer": str(directory / "answer"), "trace": str(directory / "trace")}
    program.ask({"order": order, "variables": {"P": "/p", "T": "t"}})
    return json.loads((directory / "answer").read_text("utf-8") or '{"problem": "no answer"}')


@pytest.mark.parametrize("part", range(10))
def test_a_form_is_rejected_or_read_as_bentoml_does(part, program, tmp_path):
    wrong = []
    for number, form in enumerate(FORMS[part::10]):
        reason = rejection(form)
        if bool(reason) == form.name.startswith("+") or form.fields.get("says", "") not in reason:
            wrong.append((form.name, reason or "supported"))
        if not reason:
            info = read_service(form.service, form.files)
            answer = imported(program, form, tmp_path / str(number))
            ours = json.loads(json.dumps(to_json(info)))
            found = differences(ours, answer.get("metadata", answer))
            wrong += [(form.name, str(each)) for each in found if not each[0].endswith(".line")]
    assert not wrong, "\n".join(f"{form}\n{why}" for form, why in wrong)


def rejection(form: record.Case) -> str:
    """Return why static analysis rejects a form, or an empty string."""
    try:
        unknowns = read_service(form.service, form.files).unknowns
    except BentoError as error:
        return str(error)
    return "\n".join(f"{each.path}:{each.line}: {each.what}" for each in unknowns)
