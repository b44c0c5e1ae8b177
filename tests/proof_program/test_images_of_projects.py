"""bento-proof finds what tests/proofs finds in images of projects, and proves the same honest images."""

import json
import re
import sys

import pytest

from tests.proof_program.program import SOURCE, export, requires_programs, running
from tests.proofs.attacks import (
    AMD64,
    ATTACKS,
    FORGERIES,
    HARMLESS,
    OCI,
    OF_SOURCES,
    WITHOUT_SOURCES,
    add,
    both,
    config,
    edit,
    index_of,
    manifest,
    variables,
)
from tests.proofs.image_attacks import PYC, Image, packed
from tests.sharing.image_support import blob

pytestmark = requires_programs
OK, ERROR, FOUND, UNPROVEN = 0, 1, 3, 5


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    with running(tmp_path_factory.mktemp("program")) as found:
        yield found


@pytest.fixture(scope="module")
def expect(case, program, tmp_path_factory):
    """The file of settings that the first proof of an image prints, and that a person reviews."""
    path = tmp_path_factory.mktemp("expect") / "expect.json"
    code, text = program.run(*words(case, case.out, case.project))
    assert code == UNPROVEN, text
    [report] = json.loads(text)
    assert not report["findings"]
    path.write_text(json.dumps(report["expect"]))
    return path


def test_the_program_is_independent_and_short():
    files = [*SOURCE.glob("*.py")]
    modules = {each for path in files for each in re.findall(r"(?m)^ *(?:from|import) (\w+)", path.read_text("utf-8"))}
    assert modules - sys.stdlib_module_names - {"compression"} == {"bento_proof", "zstandard"}
    assert sum(len(path.read_text("utf-8").splitlines()) for path in files) <= 1300


def words(case, layout, source=None, expect=None, base=None, lock=None):
    found = [f"oci:{layout}", "--base", f"oci:{base or case.base}", "--python", sys.executable]
    if source:
        found += ["--file", source, "/app/_main"]
    return [*found, "--lock", lock or export(source), *(["--expect", expect] if expect else [])]


def prove(program, case, layout, expect, source, lock=None, base=None):
    """The status of a proof, with sources and settings, or with a lock only."""
    if source:
        return program.run(*words(case, layout, source, expect, base, lock))
    return program.run(*words(case, layout, None, None, base, lock or export(case.project)))


@pytest.mark.parametrize("name", HARMLESS)
def test_the_same_image_in_another_form_is_proven(case, program, expect, name, tmp_path):
    with Image(case).changed(HARMLESS[name]) as image:
        image.write(tmp_path / "out")
    code, text = prove(program, case, tmp_path / "out", expect, case.project)
    assert code == OK, text
    code, text = prove(program, case, tmp_path / "out", expect, None)
    assert code == UNPROVEN, text


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_found(case, program, expect, name, tmp_path):
    with Image(case).changed(ATTACKS[name][0]) as image:
        image.write(tmp_path / "out")
        inputs = {"source": case.project, "lock": None, "base": None} | image.inputs
        code, text = prove(program, case, tmp_path / "out", expect, **inputs)
        assert code in (FOUND, ERROR), text
        if image.replaced:  # a poisoned cache of builds, which this program doesn't use, or an index
            return
        code, text = prove(program, case, tmp_path / "out", expect, **inputs | {"source": None})
    assert (code in (FOUND, ERROR)) == (name not in OF_SOURCES), (code, text)


@pytest.mark.parametrize("name", WITHOUT_SOURCES)
def test_files_that_are_not_proven_cannot_replace_others(case, program, expect, name, tmp_path):
    attack, fragment = WITHOUT_SOURCES[name]
    with Image(case).changed(attack) as image:
        image.write(tmp_path / "out")
    code, text = prove(program, case, tmp_path / "out", expect, None)
    assert code == (FOUND if fragment else UNPROVEN), text


def replaced(change):
    return lambda image: image.on_layout.append(change)


def both_kinds(directory, entry):
    """A manifest that is also an index, of which programs can read either."""
    path = directory / "blobs" / entry["digest"].replace(":", "/")
    document = json.loads(path.read_bytes()) | {"manifests": [entry | AMD64]}
    return blob(directory, json.dumps(document).encode(), entry["mediaType"])


def without(text):
    return lambda env: [each for each in env if not each.startswith(text)]


def moved(name, key, value):
    """Remove a setting, and state it where no program reads it."""
    return lambda image: (image.config["config"].pop(name), image.config.update({key: value}))


COMMAND = ["/app/.venv/bin/python", "/app/_main/main.py"]
MORE_ATTACKS = {
    "a variable in a field": both(variables(without("PYTHONUNBUFFERED")), config(lambda c: c.update({"Env PYTHONUNBUFFERED": "1"}))),
    "the path in a field": lambda image: (
        image.config.update({each.replace("PATH=", "Env PATH=").partition("=")[0]: each[5:] for each in image.config["config"]["Env"] if each.startswith("PATH=")}),
        variables(without("PATH="))(image),
    ),
    "the command in a field": moved("Entrypoint", "command", COMMAND),
    "the user in a field": moved("User", "config User", "1034:1034"),
    "the labels in fields": lambda image: image.config.update({f"Labels {k}": v for k, v in image.config["config"].pop("Labels").items()}),
    "an annotation in a field": manifest(lambda document: document.update({f"annotations {OCI}title": document["annotations"].pop(f"{OCI}title")})),
    "a manifest and an index": replaced(both_kinds),
    "an index and a manifest": both(index_of(), replaced(lambda directory, entry: both_kinds(directory, entry))),
    "a pyc of another magic number": edit(PYC, lambda data: b"\xa8\r\r\n" + data[4:]),
    "a pyc with data after the code": edit(PYC, lambda data: data + b"N"),
    "a pyc that is empty": edit(PYC, b""),
    "a pyc with only a header": edit(PYC, lambda data: data[:16]),
    "a pyc with a reference that doesn't exist": edit(PYC, lambda data: data[:16] + b"r\xff\xff\xff\xff"),
    "a pyc of nested tuples": edit(PYC, lambda data: data[:16] + b")\1" * 100_000 + b"N"),
    "a pyc of a huge tuple": edit(PYC, lambda data: data[:16] + b"(\xff\xff\xff\x7f"),
    "a pyc of a huge text": edit(PYC, lambda data: data[:16] + b"u\xff\xff\xff\x7f"),
    "a layer of 10 GB of zeros": lambda image: image.on_blob.__setitem__(3, lambda _: packed(bytes(1 << 20)) * 4000),
    "a path of a terminal": add("app/_main/\x1b]0;x\x07"),
}  # fmt: skip


@pytest.mark.parametrize("name", MORE_ATTACKS)
def test_another_attack_is_found(case, program, expect, name, tmp_path):
    with Image(case).changed(MORE_ATTACKS[name]) as image:
        image.write(tmp_path / "out")
    code, text = prove(program, case, tmp_path / "out", expect, case.project)
    assert code == FOUND, text
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", FORGERIES)
def test_another_sbom_is_not_proven(case, program, expect, name, tmp_path):
    with Image(case).changed(FORGERIES[name]) as image:
        image.write(tmp_path / "out")
    code, text = prove(program, case, tmp_path / "out", expect, case.project)
    assert code == UNPROVEN, text
