"""Requirements files are read as pip reads them."""

import re
from pathlib import Path

import pytest
from bento_cli.projects.from_directory import build
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages import lock_with_uv, requirement_files
from rules_bento.bentos.packages.requirement_syntax import (
    check_lines,
    is_same_version,
    logical_lines,
    named_format,
    parse,
    plain_pin,
    without_hashes,
)

_A, _B = "a" * 64, "b" * 64


def test_continued_lines_with_hashes_and_comments_are_one_requirement():
    lines = ["# made by pip-compile", "NumPy==2.0 ; python_version < '3.12' \\"]
    lines += [f"    --hash=sha256:{_A} \\", f"    --hash=sha256:{_B}", "    # via me", "idna>=3  # why", ""]
    text = "\n".join(lines)
    requirements, options = parse(text, "r.txt")
    assert options == []
    numpy, idna = requirements
    assert (numpy.name, numpy.pin, numpy.place) == ("numpy", ("numpy", "2.0"), "r.txt:2")
    assert (idna.name, idna.pin, idna.place) == ("idna", None, "r.txt:6")
    assert (numpy.hashes, numpy.text) == ((_A, _B), "NumPy==2.0 ; python_version < '3.12'")


def test_options_are_kept_apart():
    requirements, options = parse("--index-url https://example.com/simple\n-r other.txt\n--no-index\nflask\n", "r.txt")
    assert [found.text for found in requirements] == ["flask"]
    expected = [("--index-url", "https://example.com/simple", 1), ("-r", "other.txt", 2), ("--no-index", "", 3)]
    assert [(option.flag, option.value, option.number) for option in options] == expected


@pytest.mark.parametrize("line", ["=1.0", "flask --install-option=x", "@ https://example.com/a.whl"])
def test_a_line_that_is_no_requirement_is_named(line):
    with pytest.raises(BentoError, match=r"r\.txt:2: "):
        parse(f"flask\n{line}\n", "r.txt")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1.26", "1.26.0", True),
        ("1.0rc1", "1.0-RC.1", True),
        ("1.0.post1", "1.0-1", True),
        ("1!1.0", "1.0", False),
        ("2.9.1", "2.9.1+cpu", False),
        ("not a version", "not a version", True),
        ("not a version", "1", False),
    ],
)
def test_versions_are_equal_as_pep_440_says(one, other, same):
    assert is_same_version(one, other) is is_same_version(other, one) is same


@given(st.text("abz-._=!<~;+@*09rc #dev.post", max_size=25).map(lambda text: text.replace("=", "==", 1)))
@example("torch==2.5.1+cu121")
@example("idna==3.10")
@example("idna==\u0663.10")
@example("Zope.Interface==1.0rc1.post2.dev3")
@example(f"idna==1 --hash=sha256:{'0' * 64}")
def test_what_counts_as_a_pin_of_a_lock_is_one_for_packaging(text):
    if found := plain_pin(text):
        requirement = Requirement(without_hashes(text))
        [clause] = requirement.specifier
        assert found == (canonicalize_name(requirement.name), clause.version)
        assert (clause.operator, requirement.url, requirement.marker, requirement.extras) == ("==", None, None, set())


@pytest.mark.parametrize(
    ("text", "pin"),
    [
        (f"Zope_Interface==1.0.post1 --hash=sha256:{'0' * 64}", ("zope-interface", "1.0.post1")),
        ("torch==2.5.1+cu121", ("torch", "2.5.1+cu121")),
        *((text, None) for text in ("idna", "idna==3.*", "idna>=3", "idna[all]==3", "idna==3; os_name=='nt'", "-e idna")),
    ],
)  # fmt: skip
def test_pins_of_locks(text, pin):
    assert plain_pin(text) == pin


POETRY = '[[package]]\nname = "idna"\nversion = "3.10"\n\n[metadata]\nlock-version = "2.1"\n'
PYLOCK = 'lock-version = "1.0"\ncreated-by = "uv"\n\n[[packages]]\nname = "idna"\nversion = "3.10"\n'
CONDA = "# This file may be used to create an environment using:\n# $ conda create --name <env> --file <this file>\nnumpy=1.26.4=py311_0\n"
FOREIGN = {
    POETRY: "a lock of Poetry, not a requirements file. Run `poetry export --output requirements.txt`, and use the result.",
    PYLOCK: "a pylock.toml, not a requirements file. Name the file pylock.toml, and use it as the lock of bento.pypi.",
    '[metadata]\nlock_version = "4.5.0"\n\n[[package]]\nname = "idna"\n': "a lock of PDM",
    'version = 1\nrevision = 5\n\n[[package]]\nname = "idna"\n': "a lock of uv, not a requirements file. Run `uv export --no-emit-workspace",
    '{"_meta": {}, "default": {}}': "a lock of Pipenv, not a requirements file. Run `pipenv requirements --hash",
    '{\n    "_meta": {\n        "hash": {}\n    }\n}\n': "a lock of Pipenv",
    '[[source]]\nurl = "https://h"\n\n[packages]\nidna = "*"\n': "a Pipfile",
    '[project]\nname = "x"\ndependencies = ["idna"]\n': "a pyproject.toml, not a requirements file. Run `uv pip compile pyproject.toml",
    "name: x\nchannels:\n  - defaults\ndependencies:\n  - numpy=1.26\n": "an environment of conda, not a requirements file. Set conda.env",
    "@EXPLICIT\nhttps://h/linux-64/numpy-1.26.4-py311_0.conda\n": "a list of conda",
    "# packages in environment at /opt/conda:\n#\n# Name  Version  Build\nnumpy  1.26.4  py311_0\n": "a list of conda",
    CONDA: "a list of `conda list --export`, not a requirements file. Run `pip list --format=freeze > requirements.txt` in",
    "Package Version\n------- -------\nidna    3.10\n": "a list of `pip list`",
    '[{"name": "idna", "version": "3.10"}]\n': "a list of `pip list`",
}  # fmt: skip


@pytest.mark.parametrize("text", FOREIGN)
def test_files_of_other_tools_are_named(tmp_path, text):
    """As a requirements file of a Bento, as a source of a lock, and as the lock of a package hub."""
    (tmp_path / "r.txt").write_text(text)
    (tmp_path / "service.py").write_text("import bentoml\n\n\n@bentoml.service\nclass S:\n    pass\n")
    message = f"r\\.txt: the file is {re.escape(FOREIGN[text])}"
    with pytest.raises(BentoError, match=f"^{message}"):
        build("service:S", build_ctx=tmp_path, python={"requirements_txt": "r.txt"})
    with pytest.raises(BentoError, match=f"^{message}"):
        requirement_files.read([requirement_files.RequirementSource(tmp_path / "r.txt", "r.txt")])
    with pytest.raises(BentoError, match=message):
        lock_with_uv.normalize(tmp_path / "r.txt", uv=Path("uv"), requires_python="==3.11.*")


@pytest.mark.parametrize("text", ["six\n[x]\n", "six 1.0\n", "- six\n", "# created-by = x\n???\n"])
def test_other_errors_of_a_file_name_the_line(text):
    with pytest.raises(BentoError, match=r"^r:\d: "), named_format(text, "r"):
        check_lines(logical_lines(text, "r"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *(
            (f"idna==3.10 --hash=sha256:{'0' * 64}\n{line}\n", r"r\.txt.*(packages/lib, which isn't a release with hashes\. Lock|`uv export --no-emit-workspace` omits the project\.$)")
            for line in ["./packages/lib", "packages/lib", "-e ./packages/lib"]
        ),
        ("idna==3.10\n", r"r\.txt: idna 3\.10 has no hash \(SHA-256\), so nothing can verify it\. Run `uv pip compile --universal"),
    ],
)  # fmt: skip
def test_a_project_and_a_list_without_hashes_are_no_lock(tmp_path, text, message):
    (tmp_path / "r.txt").write_text(text)
    with pytest.raises(BentoError, match=message):
        lock_with_uv.normalize(tmp_path / "r.txt", uv=Path("uv"), requires_python="==3.11.*")
