"""The writer of YAML: PyYAML's own is the judge of each byte."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rules_bento.base.formats.yaml_writer import dump_yaml

READER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
ARGUMENTS = [{"sort_keys": False, "allow_unicode": True}, {"sort_keys": True, "allow_unicode": False}]
SHARED = ["shared"]
LINE = (
    "numpy==1.2 --no-cache /usr/bin $HOME it's - -- --- ... # x# #x : x: :x ? ?x @x %x !x &x *x | > [ ] { } , ` \\ \" "
    "null ~ yes No on = << <<x 1 -1 +1 1.5 .5 1e5 1.e+5 0x1F 0b1 017 1_0 1:30 1:30.5 .inf -.inf .nan 2020-01-01 "
    "2020-1-1 2020-01-01T00:00:00Z 1980-01-01T00:00:00+00:00 3.11 y n \u00e9 \t \x7f \u2028 \U0001f600"
)
WORDS = LINE.split(" ")
TEXTS = st.one_of(
    st.sampled_from(WORDS),
    st.text(max_size=20),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200),
    st.text(st.sampled_from('abcdefghij  \n\t"\\'), max_size=400),
    st.lists(
        st.tuples(st.sampled_from(WORDS), st.sampled_from([" ", " ", "  ", "\n", "\n\n", "", "'"])), max_size=40
    ).map(lambda pairs: "".join(word + gap for word, gap in pairs)),
)
KEYS = st.one_of(st.sampled_from(["name", "image", "on", "null", "k-1", "a.b", "a b", "1"]), TEXTS)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_bytes_are_those_of_pyyaml(document: dict[str, Any]) -> None:
    for arguments in ARGUMENTS:
        written = yaml.safe_dump(document, **arguments).encode()
        if b"\xc2\x85" in written:
            written = yaml.safe_dump(document, **{**arguments, "allow_unicode": False}).encode()
        assert dump_yaml(document, **arguments) == written


@pytest.mark.parametrize("text", ["{}", "a{}b", " {} ", "{0}{0}", "a\n{}b", "it's {}: #x"])
@pytest.mark.parametrize("block", range(0, 0x10000, 0x1000))
def test_each_character_is_read_back(text: str, block: int) -> None:
    step = 1 if block < 0x4000 or block >= 0xF000 else 61  # between: letters of Asia, and surrogates
    characters = [chr(code) for code in range(block, block + 0x1000, step) if not 0xD800 <= code < 0xE000]
    for start in range(0, len(characters), 128):
        document = {"labels": [text.format(each) for each in characters[start : start + 128]]}
        assert yaml.load(dump_yaml(document), READER) == document


@pytest.mark.parametrize("word", WORDS)
def test_words_are_quoted_as_pyyaml_quotes_them(word: str) -> None:
    texts = (word, f"a {word}", f"{word} a", f"a{word}", f"{word}a", f"{word}\n{word}", f"{word * 30} {word} {word}")
    for text in texts:
        document = {"key": text, "list": [text], "nested": {"list": [[text], {"key": text}]}}
        assert dump_yaml(document) == yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode()


DEEP = [[[[[[[[[[[[[[[[[[[[[[["word " * 40]]]]]]]]]]]]]]]]]]]]]]]


@pytest.mark.parametrize(
    "document",
    [{}, {"a": SHARED, "b": SHARED}, {1: "number", "one": "text"}, {"a": ("tuple",)}, {"deep": DEEP}, {"long" * 40: 1}],
    ids=["empty", "twice", "keys", "tuple", "deep", "long key"],
)
def test_what_is_not_simple_is_written_by_pyyaml(document: dict[Any, Any]) -> None:
    for arguments in ARGUMENTS:
        assert dump_yaml(document, **arguments) == yaml.safe_dump(document, **arguments).encode()
