"""Readers of YAML, JSON and TOML: the values that the libraries give, nothing beyond the bounds, no error but ours."""

import ast
import datetime as dt
import json
import math
import sys
import time
from functools import cache, partial
from pathlib import Path

import bento_cli
import pytest
import rules_bento
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_bento.base.formats import MAX_BYTES, MAX_DEPTH, MAX_NUMBER, MAX_VALUES, FormatError, read_file, yaml_loader
from rules_bento.base.formats.json import MAX_LARGE_BYTES, MAX_LARGE_VALUES, read_json, read_object
from rules_bento.base.formats.times import normalize_time
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.formats.yaml import read_mapping, read_with_lines, read_yaml

GOLDEN = Path(__file__).parents[1] / "golden"
LAUGHS = "".join(f"x{i}: &x{i} [{', '.join([f'*x{i - 1}' if i else 'lol'] * 10)}]\n" for i in range(9))
SECONDS = 10  # what no input may take; each takes far less


def bounded(read, *arguments):
    """The error of a reader, which comes soon."""
    started = time.process_time()
    with pytest.raises(FormatError) as error:
        read(*arguments)
    assert time.process_time() - started < SECONDS
    return str(error.value)


def by_pyyaml(text):
    return yaml.load(text, yaml.CSafeLoader)


# YAML


@pytest.mark.parametrize("path", sorted(GOLDEN.rglob("*.yaml")), ids=lambda path: path.name)
def test_what_bentoml_wrote_is_read_as_pyyaml_does(path):
    expected = yaml.safe_load(path.read_text("utf-8"))
    found = read_yaml(path.read_bytes(), path.name)
    assert repr(found) == repr(expected)
    assert yaml.safe_dump(found, sort_keys=False) == yaml.safe_dump(expected, sort_keys=False)


TIMES = st.datetimes(timezones=st.none() | st.integers(-1439, 1439).map(lambda m: dt.timezone(dt.timedelta(minutes=m))))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False)
    | st.dates()
    | TIMES
    | st.text(max_size=20)
    | st.sampled_from(["", "~", "null", "yes", "1:30", "0o7", "<<", "=", "1e3", "2026-01-01", "- a", "a: b", "\u2028"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SCALARS, inner, max_size=4), max_leaves=20
)


@settings(max_examples=300)
@given(VALUES, st.sampled_from([None, True, False]), st.booleans())
def test_what_pyyaml_writes_is_read_as_pyyaml_does(value, style, wide):
    text = yaml.safe_dump(value, default_flow_style=style, allow_unicode=wide)
    expected = by_pyyaml(text)
    found = read_yaml(text, "o")
    assert repr(found) == repr(expected)


WORDS = [
    *("a", "b: ", "- ", "? ", ": ", "[", "]", "{", "}", ", ", "\n", "\n  ", "\n    ", "&a ", "*a", "&b ", "*b", "<<: "),
    *("!!str ", "!!int ", "!!float ", "!!bool ", "!!null ", "!!seq ", "!!map ", "!!set ", "!!omap ", "!!binary "),
    *("1", "0b_", "0x1F", "-07", "1_0", "1.5", "1e400", "1.0e+400", ".inf", "-.INF", ".nan", "1:30", "0:30.5", "01:30"),
    *("yes", "Off", "~", "null", "'q'", '"\\ud800"', '"\\0"', "2026-01-01", "2001-99-99", "2001-01-01t1:02:03.4-99:99"),
    *("|\n  x\n", ">-\n  x\n", "---\n", "...\n", "%YAML 1.1\n", "%TAG ! !!\n", "# c\n", "\t", "\u00e9", "\ufeff"),
    *("= ", "! ", "!x ", "\u2028"),
]  # fmt: skip


@settings(max_examples=1500)
@given(st.lists(st.sampled_from(WORDS), max_size=14).map("".join))
def test_any_text_is_read_as_pyyaml_does_or_rejected(text):
    for read in (lambda: read_yaml(text, "o", binary=True), lambda: read_with_lines(text, "o", float)[0]):
        try:
            found = read()
        except FormatError:
            continue
        expected = by_pyyaml(text)
        assert repr(found) == repr(expected) or as_lists(found) == as_lists(expected)


def as_lists(value):
    """A value without its keys: those are texts where lines are read."""
    if isinstance(value, dict):
        return [as_lists(item) for item in value.values()]
    return [as_lists(item) for item in value] if isinstance(value, list) else repr(value)


@settings(max_examples=300)
@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_bytes_are_read_or_rejected(data):
    for read in (read_yaml, read_json, read_toml):
        try:
            read(data, "o")
        except FormatError as error:
            assert str(error).startswith("o")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "o:2: duplicate key 'a'"),
        ("a: !!pairs [x: 1]", "o:1: tag 'tag:yaml.org,2002:pairs' isn't supported"),
        ("a: !!omap [x: 1]", "isn't supported"),
        ("a: !!set {x}", "isn't supported"),
        ("a: !!binary aGk=", "tag 'tag:yaml.org,2002:binary' isn't supported"),
        ("\na: !!python/object/apply:os.system [id]", "o:2: tag 'tag:yaml.org,2002:python/object/apply:os...' isn't"),
        ("a: !!python/none x", "isn't supported"),
        ("a: !secret x", "o:1: tag '!secret' isn't supported"),
        ("a: !!bool x", "o:1: tag 'tag:yaml.org,2002:bool' doesn't match 'x'"),
        ("a: !!int x", "o:1: invalid value 'x'"),
        ("a: !!float x", "o:1: invalid value 'x'"),
        ("a: !!timestamp x", "tag 'tag:yaml.org,2002:timestamp' doesn't match 'x'"),
        ("a: !!str [x]", "isn't supported"),
        ("a: !!seq {}", "isn't supported"),
        ("a: !!map []", "isn't supported"),
        ("a: 1:30", "o:1: '1:30' is a base-60 number in YAML 1.1. Quote the value."),
        ("a: 12:30:45.5", "is a base-60 number"),
        ("a: 1" + ":1" * 200_000, "is a base-60 number"),
        ("a: 0x" + "f" * 5000, f"more than {MAX_NUMBER} characters"),
        ("a: " + "9" * 400_000, f"more than {MAX_NUMBER} characters"),
        ("a: " + "9" * 300 + ".0", f"more than {MAX_NUMBER} characters"),
        ("a: 1.0e+400", "outside the range of a float"),
        ("a: 0b_", "o:1: invalid value '0b_'"),
        ("a: 9999-99-99", "o:1: invalid value '9999-99-99': month must be in 1..12"),
        ("a: 2001-12-14t21:59:43.10-99:99", ": offset must be"),
        ('a: "\\ud800"', "o:1: invalid YAML"),
        ("a: \ud800", "o:1: the text contains an unpaired surrogate"),
        ("a: &x [*x]", "o:1: the value contains itself"),
        ("a: &x {b: [*x]}", "o:1: the value contains itself"),
        ("a: *x", "o:1: invalid YAML: found undefined alias 'x'."),
        ("- &x 1\n- &x 2", "o:2: invalid YAML: found duplicate anchor 'x'; first occurrence, second occurrence."),
        ("? [a]\n: b", "o:1: the key isn't a string"),
        ("? {a: b}\n: b", "o:1: the key isn't a string"),
        ("- <<", "o:1: '<<' isn't a value"),
        ("<<: 1", "o:1: '<<' requires a mapping"),
        ("<<: [{a: 1}, 2]", "o:1: '<<' requires a mapping"),
        ("- =", "o:1: '=' isn't a value"),
        ("a\n---\nb", "o:2: invalid YAML: expected a single document in the stream"),
        ("a: [", "o:1: invalid YAML"),
        ("[" * 200 + "]" * 200, f"o:1: more than {MAX_DEPTH} levels of nesting"),
        ("[" * 200_000 + "]" * 200_000, "o:1: "),  # libyaml's own limit, or ours
        ("[" * 400_000, "o:1: "),
        ("{a: " * 101, f"o:1: more than {MAX_DEPTH} levels of nesting"),
        ("- " * 101 + "a", f"o:1: more than {MAX_DEPTH} levels of nesting"),
        (LAUGHS, "o:6: more than 500,000 values"),
        ("a: &a " + "x" * (1 << 20) + "\nb: [" + "*a, " * 100 + "]", "o:2: more than 500,000 values"),
        ("#" * (MAX_BYTES + 1), "o: the file exceeds the limit of 16 MiB"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_yaml_that_is_rejected(text, message):
    assert message in bounded(read_yaml, text, "o")
    assert bounded(read_with_lines, text, "o", float).startswith("o")


@pytest.mark.parametrize("read", [read_yaml, partial(read_with_lines, parse_float=float)])
def test_values_without_aliases_count(read, monkeypatch):
    monkeypatch.setattr(yaml_loader, "MAX_VALUES", 5_000)
    assert read("[" + "1," * 4_999 + "]", "o")
    assert bounded(read, "[" + "1," * 5_000 + "]", "o").startswith("o:1: more than 5,000 values")


def test_merges_take_no_longer_than_what_they_bring():
    head = "a: &a {" + ", ".join(f"k{i}: v" for i in range(2000)) + "}\n"
    many = head + "".join(f"m{i}: {{<<: *a}}\n" for i in range(300))
    assert "more than 500,000 values" in bounded(read_yaml, many, "o")
    few = head + "m: {k1: own, <<: [*a, {new: 1, k2: lost}]}\n"
    assert read_yaml(few, "o") == yaml.safe_load(few)


@pytest.mark.parametrize(
    "text", ["", "# nothing", "---", "a:\nb:", "=: 1", "! 12", "a: &x b\n*x : c", "<<: {a: 1}\n<<: {b: 1}"]
)
def test_yaml_that_is_accepted(text):
    assert repr(read_yaml(text, "o")) == repr(yaml.safe_load(text))


def test_base_64_is_read_where_bytes_can_be():
    assert read_yaml("a: !!binary |\n  aGVs\n  bG8=\n", "o", binary=True) == {"a": b"hello"}
    assert "o:1" in bounded(lambda: read_yaml("a: !!binary 'a'", "o", binary=True))


def test_lines_of_values():
    text = "a: &x\n  b:\n  - 1\n  - c: 2\nd: *x\n3.10: {<<: *x, e: 1.50}\n"
    value, lines = read_with_lines(text, "o", lambda text: f"as {text}")
    assert value["3.10"] == {"b": [1, {"c": 2}], "e": "as 1.50"}
    paths = [(), ("a",), ("a", "b", 1, "c"), ("d",), ("d", "b", 0), ("3.10", "b"), ("x",)]
    assert [lines.get(path) for path in paths] == [1, 1, 4, 5, 3, 2, None]


def test_keys_that_are_one_for_python_stand_twice():
    assert "o:2: duplicate key 'true'" in bounded(read_yaml, "1: a\ntrue: b", "o")
    assert "duplicate key" in bounded(read_yaml, "0: 1\n00_: 2", "o")
    assert read_with_lines("1: a\n'true': b", "o", float)[0] == {"1": "a", "true": "b"}


def test_a_mapping_is_requested():
    assert "o: expected a mapping" in bounded(read_mapping, "[]", "o")


def test_readers_without_libyaml_reject_the_same(monkeypatch):
    monkeypatch.delattr(yaml, "CSafeLoader")
    monkeypatch.delitem(
        sys.modules, "rules_bento.base.formats.yaml_loader", raising=False
    )  # which has read the attribute
    for text in ('a: "\\ud800"', '- "\\ud83d\\ude00"', "[" * 5000, "{a: " * 2000, LAUGHS, "a: [", "a: 1:30"):
        bounded(read_yaml, text, "o")
    assert read_yaml("a: [1, 2.5, 2026-01-01]", "o") == yaml.safe_load("a: [1, 2.5, 2026-01-01]")


# JSON

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=30,
)


@settings(max_examples=300)
@given(JSON_VALUES, st.booleans())
def test_json_is_read_as_the_standard_library_does(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert repr(read_json(text, "o")) == repr(json.loads(text))
    assert repr(read_json("\ufeff" + text, "o")) == repr(json.loads(text))
    assert repr(read_json(text.encode(), "o")) == repr(json.loads(text))


JSON_WORDS = ["[", "]", "{", "}", '"a"', '"b"', ":", ",", "1", "-0", "1e5", "NaN", "\\", '"', '"\\"[', '"\\\\"', "null"]


@settings(max_examples=500)
@given(st.lists(st.sampled_from(JSON_WORDS), max_size=16).map("".join))
def test_any_text_is_read_as_the_standard_library_does_or_rejected(text):
    try:
        found = read_json(text, "o")
    except FormatError:
        return
    assert repr(found) == repr(json.loads(text))


@pytest.mark.parametrize("path", sorted(GOLDEN.rglob("*.json")), ids=lambda path: path.name)
def test_golden_json_is_read_as_the_standard_library_does(path):
    assert repr(read_json(path.read_bytes(), path.name)) == repr(json.loads(path.read_bytes()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "o: invalid JSON: duplicate key 'a'"),
        ('{"a": {"b": 1, "c": 0, "b": 2}}', "duplicate key 'b'"),
        ('{"a"\n:\n x}', "o:3: invalid JSON: Expecting value"),
        ("[" * 100_000, "o: the JSON is nested too deeply"),
        ("[" * 100_000 + "]" * 100_000, f"o: the file has more than {MAX_DEPTH} levels of nesting"),
        ('{"a":[' * 51 + "]}" * 51, f"o: the file has more than {MAX_DEPTH} levels of nesting"),
        ('["\\"[",' * 101 + "1" + "]" * 101, f"o: the file has more than {MAX_DEPTH} levels of nesting"),
        ("1" * 5000, f"a number has more than {MAX_NUMBER} characters"),
        ("-1e999", "exceeds the range of a float"),
        ("NaN", "NaN isn't a JSON number"),
        ("[-Infinity]", "-Infinity isn't a JSON number"),
        ('"\\ud800"', "a string contains an unpaired surrogate"),
        ('{"\\uDC00": 1}', "a string contains an unpaired surrogate"),
        (b'"\xed\xa0\x80"', "o:1: the file isn't UTF-8"),
        ("[]".encode("utf-16"), "o:1: the file isn't UTF-8"),
        ("[" + "[]," * MAX_VALUES + "1]", "o: the file has more than 500,000 values"),
        ("[" + "1," * MAX_VALUES + "1]", "o: the file has more than 500,000 values"),
        ("{" + ",".join(f'"{i}":0' for i in range(MAX_VALUES // 2 + 1)) + "}", "o: the file has more than 500,000 values"),
        ('"' + "x" * MAX_BYTES + '"', "o: the file exceeds the limit of 16 MiB"),
        ("", "o:1: invalid JSON"),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_json_that_is_rejected(text, message):
    assert message in bounded(read_json, text, "o")


def test_large_json_has_limits_of_its_own():
    values = f"[{'0,' * MAX_VALUES}0]"
    assert "o: the file has more than 500,000 values" in bounded(read_json, values, "o")
    assert len(read_json(values, "o", is_large=True)) == MAX_VALUES + 1
    text = f'["{"x" * MAX_BYTES}"]'
    assert "o: the file exceeds the limit of 16 MiB" in bounded(read_json, text, "o")
    assert read_json(text, "o", is_large=True)
    read = partial(read_json, is_large=True)
    assert "o: the file has more than 4,000,000 values" in bounded(read, f"[{'0,' * MAX_LARGE_VALUES}0]", "o")
    assert "o: the file exceeds the limit of 64 MiB" in bounded(read, " " * (MAX_LARGE_BYTES + 1), "o")


def test_brackets_in_strings_do_not_count():
    for text in (json.dumps(["[" * 1000, '\\"[{' * 200, "]"]), json.dumps([["{"] * 300] * 300)):
        assert read_json(text, "o") == json.loads(text)
    assert read_json("[" * MAX_DEPTH + "]" * MAX_DEPTH, "o")


def test_constants_are_taken_where_asked_for():
    assert math.isnan(read_json("[NaN]", "o", constants=True)[0])


def test_an_object_is_requested():
    assert "o: expected a JSON object" in bounded(read_object, "[]", "o")


# TOML


TOML_WORDS = [
    *("a", "b.c", '"q.r"', "'l'", " = ", "1", "1.5", "[", "]", "{", "}", ", ", "\n", "[[t]]\n", "[t.u]\n", "# c\n"),
    *('"s"', '"""m\n"""', "'''\n'''", '"\\""', "inf", "2026-01-01", "true", "1_0", "0x1", '"""', "'''", "\r\n", "."),
]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(TOML_WORDS), max_size=16).map("".join))
@pytest.mark.skipif(sys.version_info < (3, 11), reason="the judge is the standard library's reader")
def test_toml_is_read_as_the_standard_library_does_or_rejected(text):
    import tomllib

    try:
        found = read_toml(text, "o")
    except FormatError:
        with pytest.raises((ValueError, RecursionError)):
            tomllib.loads(text)
        return
    try:
        expected = tomllib.loads(text)
    except ValueError:
        assert "{" in text, "only inline tables of several lines, and a comma at their end, are TOML 1.1"
    else:
        assert repr(found) == repr(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\na = 2\n", "o:2: invalid TOML"),
        ("a = 1\nb = [1,\n2", "o:3: invalid TOML: Unclosed array."),
        ("a = " + "1" * 5000, "o: invalid TOML: Exceeds the limit (4300 digits)"),
        ("a = " + "[" * 100_000, "o: invalid TOML: nested too deeply"),
        ("a = " + "[" * 101 + "]" * 101, f"o: the file has more than {MAX_DEPTH} levels of nesting"),
        ('a = "\\ud800"', "o:1: invalid TOML"),
        (b"a = '\xff'", "o:1: the file isn't UTF-8"),
        ('"\\' * 200_000, "o:1: invalid TOML"),
        ('"""\\"""' * 100_000, "o"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_toml_that_is_rejected(text, message):
    assert message in bounded(read_toml, text, "o")


def test_toml_1_1_is_read():
    text = 'a = {\n  b = 1, # comment\n  c = "\\e\\x41",\n}\nd = 07:32\n'
    assert read_toml(text, "o") == {"a": {"b": 1, "c": "\x1bA"}, "d": dt.time(7, 32)}


# Files


@pytest.mark.parametrize("read", [read_yaml, read_json, read_toml])
def test_a_byte_order_mark_may_stand_first(read):
    assert read(b"\xef\xbb\xbf" + {read_toml: b"", read_yaml: b"{}", read_json: b"{}"}[read], "o") == {}
    assert "o:1: the file has two byte order marks" in bounded(read, "\ufeff\ufeff{}", "o")


def test_a_large_file_is_rejected_before_it_is_read(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert "large: the file exceeds the limit of 16 MiB" in bounded(read_file, path)


# Nobody reads otherwise.

OURS = {
    "base/subcommand_arguments.py": "an action's own arguments",
    "actions/check_images.py": "indexes, configs, and names of libraries that actions of ours wrote",
    "actions/debian.py": "the index that an action of ours wrote",
    "actions/hubs.py": "attributes of a hub, and the lock that an extension has read",
    "actions/images.py": "the config that an action of ours wrote",
    "actions/locks.py": "what BentoSnapshot or BentoImportService wrote",
    "actions/package.py": "attributes of a rule, and what BentoSnapshot wrote",
    "actions/reports.py": "indexes, descriptions, and manifests that actions of ours wrote",
    "actions/service.py": "what BentoSnapshot and BentoModel wrote, and attributes of a rule",
    "actions/wheels.py": "writes byte code",
    "base/formats/json.py": "the reader",
    "base/formats/oci.py": "the description that an action of ours wrote",
    "projects/import_differences.py": "the bento.yaml that it makes",
    "sharing/debian_lock.py": "the lock that it makes",
    "sharing/debian_packages.py": "what it wrote into the cache, whose digest is checked",
    "sharing/native_build.py": "the notes that it wrote into the cache",
    "sharing/native_delivery.py": "the SBOM that it makes",
    "base/formats/toml.py": "the reader",
    "base/comparison_program.py": "the bento.yaml that BentoML has read",
    "base/formats/yaml_loader.py": "the reader",
    "images/layers/parts.py": "the listing that an action of ours wrote",
    "images/image_archive.py": "the image that was built",
    "images/soci.py": "what actions of ours wrote",
    "images/system_packages.py": "what an action of ours wrote",
    "images/wheels/bytecode_program.py": "code that it has compiled and written",
    "images/wheels/libraries.py": "what an action of ours wrote, or a note that `validate` has checked",
    "bentos/packages/indexes.py": "attributes of a rule",
    "bentos/packages/lock_subset.py": "what a repository rule wrote of a lock that it has read",
    "bentos/packages/requirement_syntax.py": "what the step before wrote",
    "run/image_start.py": "the request of the process that has started it, and what it wrote itself",
    "run/load.py": "what a rule wrote",
    "run/push_description.py": "what rules and actions of ours wrote",
    "run/startup_test.py": "what rules and actions of ours wrote",
    "run/test.py": "what a rule wrote",
    "run/venv.py": "what a rule wrote",
    "bentos/service/import_sandbox.py": "the order of the process that has started it",
    "bentos/service/import_twice.py": "problems of the process that it has started, which runs no code of a project",
    "bentos/service/bentoml_import.py": "the order of the process that has started it",
    "bentos/sources/tree_manifest.py": "the manifest that an action of ours wrote; a list of all files can be long",
    "actions/worker.py": "what Bazel asks",
}
YAML_READERS = "load load_all safe_load safe_load_all full_load unsafe_load compose parse scan"
LOADERS = ("SafeLoader", "CSafeLoader", "Loader", "FullLoader", "UnsafeLoader")
READERS = {f"yaml.{name}" for name in (*YAML_READERS.split(), *LOADERS)}
READERS |= {"json.load", "json.loads", "json.JSONDecoder"}


@cache
def product_modules():
    """The syntax trees of both distributions, by the paths of their files in one of them."""
    directories = [Path(package.__file__).parent for package in (bento_cli, rules_bento)]
    return {
        path.relative_to(directory).as_posix(): ast.parse(path.read_text("utf-8"))
        for directory in directories
        for path in directory.rglob("*.py")
    }


_MODULES = ("yaml", "json", "json.decoder", "tomllib", "tomli")
_BANNED = {"tomllib", "tomli", "pickle", "marshal"}
_WRITERS = ("dump", "dumps", "safe_dump", "JSONEncoder")


def readers_of(tree):
    """The names of readers that a module uses."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in READERS:
            yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            names = {name.name for name in node.names}
            yield from (f"from {node.module}" for name in names if node.module in _MODULES and name not in _WRITERS)
        elif isinstance(node, ast.Import) and not _BANNED.isdisjoint(name.name for name in node.names):
            yield "import"
        elif isinstance(node, ast.Constant) and node.value in ("tomllib", "tomli", "CSafeLoader"):
            yield node.value


def test_what_others_wrote_is_read_by_these_readers_alone():
    found = {name for name, tree in product_modules().items() if any(readers_of(tree))}
    assert found - OURS.keys() == set(), "read it by rules_bento.base.formats"
    assert OURS.keys() - found == set(), "no longer true: strike it out"


# The same of what is no text: who imports the module of a format, and why.
MODULES = {
    "bz2": {"base/archives/streams.py": "the reader", "base/archives/zipread.py": "the reader", "base/archives/archive.py": "writes"},
    "configparser": {
        "images/wheels/wheel.py": "entry points of a wheel, whose size is bounded",
        "bentos/packages/virtualenv.py": "entry points of wheels that are installed",
    },
    "csv": {
        "images/reports/layer_contents.py": "RECORD of an installed wheel, whose size is bounded",
        "images/wheels/wheel.py": "RECORD of a wheel, whose size is bounded",
        "bentos/packages/build_wheel.py": "writes",
        "bentos/packages/shared_files.py": "RECORD of an installed wheel, whose size is bounded",
    },
    "ftplib": {"transports/filesystems.py": "an error", "transports/ftp.py": "the client"},
    "paramiko": {"transports/sftp.py": "the client"},
    "http.client": {
        "base/net/transport.py": "the client",
        "base/private.py": "the reader of a response",
        "run/testing/bentoml_server.py": "an error",
    },
    "gzip": {},
    "lzma": {
        "base/archives/streams.py": "the reader",
        "base/archives/xz.py": "writes",
    },
    "marshal": {
        "actions/wheels.py": "writes",
        "images/wheels/bytecode_program.py": "writes, and reads what it wrote",
    },
    "netrc": {"base/net/host_settings.py": "the reader", "bentos/packages/uv.py": "of all hosts, for the file of uv"},
    "urllib3": {"base/net/transfers.py": "the Retry-After header", "base/net/transport.py": "the client", "base/private.py": "pools"},
    "urllib.request": {"run/testing/bentoml_server.py": "asks a server that we have started whether it is up"},
    "tarfile": {},
    "zipfile": {
        "actions/wheels.py": "writes",
        "base/archives/archive.py": "writes",
        "bentos/packages/build_wheel.py": "writes",
        "bentos/packages/lock_subset.py": "writes",
        "run/venv.py": "RECORD of a locked wheel, whose size is bounded",
    },
    "zlib": {
        "base/archives/tarread.py": "a sum of bytes",
        "base/archives/xz.py": "writes",
        "base/archives/zipread.py": "the reader",
        "images/layers/ztoc.py": "samples of blocks of our layers, of limited size",
    },
    "zstandard": {
        "base/archives/compressors.py": "checks the version for the modules that write",
        "base/archives/streams.py": "the reader",
        "images/layers/parts.py": "writes",
    },
}  # fmt: skip
NOWHERE = (
    *("pickle", "shelve", "dbm", "sqlite3", "xml", "plistlib", "imaplib", "smtplib"),
    *("email.message_from_bytes", "email.message_from_string", "email.parser", "email.feedparser"),
    *("ast.literal_eval", "requests", "httpx", "paramiko"),
)


def modules_of(tree):
    """The modules of formats and protocols that a module imports, and the functions of `NOWHERE` that it uses."""
    known = {*MODULES, *NOWHERE}
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
            names += [name.partition(".")[0] for name in names if not name.startswith(("email", "http", "urllib."))]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            names = [name] if name in NOWHERE else []
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            named = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            names = [str(node.args[0].value)] if named in ("import_module", "__import__") else []
        yield from {*names} & known


def test_formats_and_protocols_have_one_reader_each():
    found = {(module, name) for name, tree in product_modules().items() for module in modules_of(tree)}
    known = {(module, path) for module, paths in MODULES.items() for path in paths}
    assert found - known == set(), "read it by rules_bento.base.archives, or rules_bento.base.net"
    assert known - found == set(), "no longer true: strike it out"


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("import tarfile", "tarfile"),
        ("def f():\n    from zipfile import ZipFile", "zipfile"),
        ("from http import client", "http.client"),
        ("from urllib import request", "urllib.request"),
        ("import xml.etree.ElementTree", "xml"),
        ("import_module('tarfile')", "tarfile"),
        ("importlib.import_module('lzma')", "lzma"),
        ("import ast\nast.literal_eval(x)", "ast.literal_eval"),
        ("from email import parser", "email.parser"),
    ],
)
def test_another_reader_of_a_format_would_be_found(source, module):
    assert set(modules_of(ast.parse(source))) == {module}


def test_another_reader_would_be_found():
    for source in ("import json\njson.loads(x)", "import yaml\nyaml.load(x)", "from json import loads", "import tomli"):
        assert list(readers_of(ast.parse(source)))


# Times


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("2026-01-31T23:59:59+00:00", ""),
        ("2024-02-29T00:00:00.123-09:30", ""),
        ("2000-02-29T00:00:00.123456+14:00", ""),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00+00:00"),
        *((text, None) for text in ("", "1700000000", "2026-01-31", "2026-01-31T12:00:00", "yesterday", "0000-01-01T12:00:00Z")),
        *((text, None) for text in ("2026-01-31 12:00:00+00:00", "2026-01-31T12:00:00.1Z", "2026-01-31T12:00:00+0000")),
        *((text, None) for text in ("2026-01-31T12:00:00+00:00Z", "2026-01-31T12:00:00+00:60", "2026-01-31T24:00:00Z")),
        *((text, None) for text in ("2026-01-31T12:60:00Z", "2026-02-29T12:00:00Z", "1900-02-29T12:00:00Z")),
        *((text, None) for text in ("2026-04-31T12:00:00Z", "2026-13-01T12:00:00Z", "2026-00-01T12:00:00Z")),
        *((text, None) for text in ("2026-01-00T12:00:00Z", "0001-12-31T00:00:00Z", "9999-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00")),
        *((text, None) for text in ("20260301T120000+00:00", "2026-01-31T12:00:00+00:00\n", "\u0662026-01-31T12:00:00Z", "2026-W05-6T12:00:00Z")),
    ],
)  # fmt: skip
def test_times_as_normalize_time_of_starlark(text, normal):
    """tests/analysis/time_test.bzl has the same times."""
    if normal is None:
        with pytest.raises(ValueError):
            normalize_time(text)
    else:
        assert normalize_time(text) == (normal or text)


@given(TIMES.filter(lambda time: time.tzinfo and 1 < time.year < 9999))
def test_times_of_python(time):
    text = time.isoformat()
    assert dt.datetime.fromisoformat(normalize_time(text)) == time
    time.astimezone(dt.timezone(dt.timedelta(hours=-14)))  # which `bentoml list` does for the local zone
