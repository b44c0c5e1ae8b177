"""Requirements files are read as pip reads them."""

import pytest
from rules_bento.errors import BentoError
from rules_bento.packages.requirements import Option, is_same_version, parse

_A, _B = "a" * 64, "b" * 64


def test_continued_lines_with_hashes_and_comments_are_one_requirement():
    lines = ["# made by pip-compile", "NumPy==2.0 ; python_version < '3.12' \\"]
    lines += [f"    --hash=sha256:{_A} \\", f"    --hash=sha256:{_B}", "    # via me", "idna>=3  # why", ""]
    text = "\n".join(lines)
    requirements, options = parse(text, "r.txt")
    assert options == []
    numpy, idna = requirements
    assert (numpy.name, numpy.pin, numpy.line) == ("numpy", ("numpy", "2.0"), 2)
    assert (idna.name, idna.pin, idna.line) == ("idna", None, 6)
    assert (numpy.hashes, numpy.text) == ((_A, _B), "NumPy==2.0 ; python_version < '3.12'")


def test_options_are_kept_apart():
    requirements, options = parse("--index-url https://example.com/simple\n-r other.txt\n--no-index\nflask\n", "r.txt")
    assert [found.text for found in requirements] == ["flask"]
    index = Option("--index-url", "https://example.com/simple", 1)
    assert options == [index, Option("-r", "other.txt", 2), Option("--no-index", "", 3)]


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
