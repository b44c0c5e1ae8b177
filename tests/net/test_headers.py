"""Headers of answers: read as the documents have them, in linear time, whatever is in them."""

import time
from email.message import Message

import pytest
from rules_bento.base.net.http_headers import ContentRange, challenges, content_range, next_link, parse_nonnegative_int
from rules_bento.base.net.transfers import retry_after


@pytest.mark.parametrize(("text", "number"), [("0", 0), (" 12 ", 12), ("9" * 18, 10**18 - 1)])
def test_numbers(text, number):
    assert parse_nonnegative_int(text) == number


@pytest.mark.parametrize("text", [None, "", "²", "٣", "-1", "+1", "1_0", "1.5", "0x1", "9" * 19, "9" * 5000])
def test_what_is_not_a_number(text):
    assert parse_nonnegative_int(text) is None


def test_ranges():
    assert content_range("bytes 0-0/100") == ContentRange(0, 0, 100)
    assert content_range(" bytes 5-9/* ") == ContentRange(5, 9, None)


@pytest.mark.parametrize(
    "text",
    [None, "", "bytes 0-0/", "bytes */100", "bytes 0-²/9", "bytes 9-5/10", "bytes 0-9/9", f"bytes 0-0/{'9' * 5000}"],
)
def test_what_is_not_a_range(text):
    assert content_range(text) is None


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ('</v2/x/tags/list?last=b&n=2>; rel="next"', "/v2/x/tags/list?last=b&n=2"),
        ("<b>; rel=next", "b"),
        ('<a>; rel="prev", <b>; title="x, <c>; rel=next"; rel="last next"', "b"),
        ('<a>; REL="Next"', "a"),
        ('<a>; rel="nextish"', None),
        ("<a>", None),
        ("rel=next", None),
        (None, None),
    ],
)
def test_links_to_the_next_page(text, target):
    assert next_link(text) == target


def test_parameters_of_other_schemes_are_not_taken_for_ours():
    text = 'Negotiate abc==, Bearer realm="https://a/t", Digest realm="x", Basic realm="y"'
    assert dict(challenges(text)) == {
        "negotiate": {"abc": "="},
        "bearer": {"realm": "https://a/t"},
        "digest": {"realm": "x"},
        "basic": {"realm": "y"},
    }


def test_a_parameter_that_is_named_twice_has_its_first_value():
    assert dict(challenges("Bearer realm=https://a, realm=https://b")) == {"bearer": {"realm": "https://a"}}


@pytest.mark.parametrize(
    "piece",
    [
        "a", "a ", "a=", 'a="', 'a="\\"', ",", ", bearer", "bearer ", "<", "<>", "<>;", "<>;a", '<>;a="', "<>; ",
        "\\", " ",
    ],
)  # fmt: skip
def test_headers_of_hostile_servers_take_no_time(piece):
    for size in (8_000, 64_000):
        text = piece * (size // len(piece))
        begin = time.process_time()
        list(challenges(f"Bearer {text}"))
        next_link(text)
        next_link(f'<a>; rel="{text}')
        content_range(f"bytes {text}")
        assert time.process_time() - begin < 0.5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("²", None), ("", None), ("9" * 400, 21600), ("soon", None), ("Fri, 31 Dec 9999 99:99:99 GMT", 21600)],
)
def test_how_long_to_wait(text, seconds):
    headers = Message()
    headers["Retry-After"] = text
    assert retry_after(headers) == seconds
