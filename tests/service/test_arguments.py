"""Arguments of a Bento in a pydantic model, beside pydantic: the same value, or unknown."""

from typing import Any, Literal, Optional, Union  # noqa: F401 - for eval

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError, create_model  # noqa: F401
from rules_bento.bentos.service import read_service
from rules_bento.bentos.service.values import convert_argument

TEXTS = ["true", "True", "TRUE", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "1", "0", "2", "-1", "+3", "-3"]
TEXTS += [
    *("007", "-0", "1_000", " 1", "1 ", "1.0", "1.5", "0.1", "-2.5", "+.5", ".5", "5.", "1e3", "1E-3", "1e400", "inf")
]
TEXTS += ["nan", "NaN", "Infinity", "0x10", "0b1", "", " ", "a", "b", "None", "null", "none", "٣", "9" * 18]
TEXTS += ["1_0.0", " 2.5 ", "1__0", "_1", "1_", "+_1", "1_.0", "5.00", "5.1", "\x855", "5\x1c", "1_0 ", "-inf", "0-5"]
TEXTS += ["9" * 19, "9" * 20, "9" * 400, "1,5", "--1", "1e", "true ", "tru", "a\n", "1\n"]
VALUES: list[Any] = [*TEXTS, True, False, 0, 1, 2, -7, 1 << 53, 1 << 60, 0.0, 1.0, 0.5, -2.5, None, [1], {"a": 1}]
TYPES = ["bool", "int", "float", "str", "Optional[int]", "int | None", "None | float", "Optional[bool]"]
TYPES += ["Union[str, None]", "Literal['a', 'b']", "Literal[1, 'a']", "Optional[Literal['a']]", "Literal[True, '1']"]
TYPES += ["int | str", "Union[int, float]", "list[int]", "Any", "'int'", "Optional['int']"]
SOURCE = """import bentoml
from typing import Any, Literal, Optional, Union
from pydantic import BaseModel, Field

class Given(BaseModel):
    value: {}

given = bentoml.use_arguments(Given)

@bentoml.service(labels={{"value": f"{{given.value}}"}})
class Svc: ...
"""
# Values that each of these types must read.
READ = {
    "bool": ["true", "True", "FALSE", "1", True],
    "int": ["1", "-3", "+3", "007", "0", 7],
    "float": ["0.1", "-2.5", "1", "1e3", "+3", 0.5, 2],
    "str": ["", "a", "1"],
    "Optional[int]": ["-3", None],
    "int | None": ["5"],
}


def labels(kind: str, value: object) -> dict[str, str] | None:
    info = read_service("service:Svc", {"service.py": SOURCE.format(kind).encode()}, {"value": value})
    return None if info.unknowns else info.labels


@pytest.mark.parametrize("kind", TYPES)
def test_arguments_are_converted_like_pydantic(kind):
    model = create_model("Given", value=(eval(kind), ...))
    for value in VALUES:
        found = labels(kind, value)
        try:
            real = {"value": f"{model(value=value).value}"}
        except ValidationError:
            real = None
        assert found in (None, real), f"{value!r}: {found} instead of {real}"


@pytest.mark.parametrize("kind", READ)
def test_plain_values_are_read(kind):
    assert [value for value in READ[kind] if labels(kind, value) is None] == []


TEXT = st.text("0123456789_.+-eE \t\n\x1c\x85\u2003infatyNT", max_size=8)


@settings(max_examples=300)
@given(TEXT, st.sampled_from(["bool", "int", "float", "str", "int | None"]))
def test_any_text_is_converted_like_pydantic(text, kind):
    """Without an error, or unknown."""
    try:
        real = repr(TypeAdapter(eval(kind)).validate_python(text))
    except ValidationError:
        real = None
    try:
        found = repr(convert_argument(text, kind))
    except ValueError:
        found = None
    assert found in (None, real)


@pytest.mark.parametrize("field", ["Field(alias='v')", "Field(60, ge=100)", "Field(strict=True)", "make()", "F"])
def test_a_field_that_pydantic_reads_in_another_way_is_unknown(field):
    assert labels(f"int = {field}", "5") is None
