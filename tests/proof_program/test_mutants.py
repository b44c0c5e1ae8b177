"""No random change of an image is proven, unless tarfile extracts the same files from the changed image.

`RULES_BENTO_EXAMPLES` is the number of changed images, and `RULES_BENTO_SEED` selects them.
"""

import json
import os
import shutil
import sys
from collections import Counter
from random import Random

import pytest

from tests.proofs.image_attacks import Image
from tests.proofs.mutants import change, is_same

pytest.importorskip("tomllib", reason="bento-proof requires Python 3.11")

from bento_proof import bytecode, cli, proof
from bento_proof.model import UnableError

from tests.proof_program.program import export, requires_programs

EXAMPLES, SEED = int(os.environ.get("RULES_BENTO_EXAMPLES", "300")), os.environ.get("RULES_BENTO_SEED", "1")


def once(function, key=lambda *_: ""):
    """A function that is called once for each key of its arguments."""
    known = {}

    def call(*words):
        if key(*words) not in known:
            known[key(*words)] = function(*words)
        return known[key(*words)]

    return call


@requires_programs
def test_no_changed_image_is_proven(case, tmp_path, monkeypatch, capsys):
    """Installs the packages once, and compiles each set of modules once."""
    words = [f"oci:{case.out}", "--base", f"oci:{case.base}", "--python", sys.executable]
    words += ["--uv", os.environ["RULES_BENTO_UV"]]
    inputs = cli.parser().parse_args(
        [*words, "--lock", str(export(case.project)), "--file", str(case.project), "/app/_main"]
    )
    (tmp_path / "first").mkdir()
    for name in ("read_base", "_want"):
        monkeypatch.setattr(proof, name, once(getattr(proof, name)))
    monkeypatch.setattr(bytecode, "compile_all", once(bytecode.compile_all, lambda _base, _program, jobs: str(jobs)))
    [report] = proof.prove(inputs, tmp_path / "first", lambda _: None)
    inputs.expect = tmp_path / "expect.json"
    inputs.expect.write_text(json.dumps(report.expect))
    outcomes, wrong = Counter(), []
    for number in range(EXAMPLES):
        image, layout = Image(case), tmp_path / str(number)
        kind = change(image, Random(f"{SEED}-{number}"))
        image.write(layout)
        inputs.image, work = f"oci:{layout}", layout / "work"
        work.mkdir()
        try:
            found = proof.prove(inputs, work, lambda _: None)
            doubts = any(each.unproven for each in found)
            outcome = "findings" if any(each.findings for each in found) else "unproven" if doubts else "proven"
            json.dumps([vars(each) for each in found])
        except UnableError:
            outcome = "error"
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        outcomes[kind, outcome] += 1
        seen = ("findings", "error", "proven", *(["unproven"] if kind == "sbom" else []))
        if outcome not in seen or (outcome == "proven" and not is_same(kind, image, Image(case), layout)):
            wrong.append((number, kind, outcome))
        shutil.rmtree(layout)
    with capsys.disabled():
        sys.stdout.write(f"{dict(sorted(outcomes.items()))}\n" if "RULES_BENTO_EXAMPLES" in os.environ else "")
    assert not wrong, f"RULES_BENTO_SEED={SEED}: {wrong}"
    assert {kind for kind, outcome in outcomes if outcome == "proven"} >= {"tar", "blob"} or EXAMPLES < 300
