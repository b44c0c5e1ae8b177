"""The message of an error consists of its place, its problem, and its remedy."""

import pytest
from rules_bento.base.errors import BentoError, problem_of


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (BentoError("a: b. C."), "a: b. C."),
        (BentoError("b", place="a", remedy="C."), "a: b. C."),
        (BentoError("b.", remedy="C."), "b. C."),
        (BentoError("b", place="a"), "a: b"),
        (BentoError("b", place="a").at("//t:x").with_remedy("D."), "//t:x: a: b. D."),
        (BentoError("//t:x: b").at("//t:x"), "//t:x: b"),
    ],
)
def test_a_message_has_a_place_a_problem_and_a_remedy(error, message):
    assert str(error) == message


def test_parts_of_a_message():
    error = BentoError("b", place="a", remedy="C.", code=4)
    assert (problem_of(error), error.below("a"), error.code) == ("b", "b. C.", 4)
    assert problem_of(ValueError("b.")) == "b"
