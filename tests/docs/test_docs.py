"""What documentation says can be done: blocks run, parse or load, and names, options and links are there."""

import ast
import importlib
import itertools
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

import pytest
from bento_cli.cli import groups, main
from bento_cli.cli.command import Command
from rules_bento.base.formats import json, toml, yaml
from rules_bento.images.layers.description import DIGEST_ATTRIBUTE

from tests.docs.consoles import GIVEN, HELD, NOT_GIVEN
from tests.helpers.documents import Block, anchors, blocks, commands, documents, links, spans, web_links

ROOT = Path()  # of the runfiles
sys.path += ["bench", "tools"]

import bentofile_schema  # noqa: E402
import plots  # noqa: E402
import reference  # noqa: E402
import terminal  # noqa: E402
from declarations import Attributes, DeclarationError, Extension, Provider, Repository, Rule, Unknown, bazel_names  # noqa: E402

REPOSITORY = Repository(ROOT)
BLOCKS = [block for path in documents(ROOT) for block in blocks(path)]
# What MODULE.bazel may say beside extensions, and rules of others that the documentation shows ours with.
OF_BAZEL = [
    "archive_override", "bazel_dep", "git_override", "local_path_override", "module", "register_toolchains",
    "use_repo", "image_manifest_from_oci_layout", "oci_image", "py_library", "py_test",
]  # fmt: skip
PROGRAMS = [
    "bentoml", "cat", "cd", "cosign", "curl", "docker", "export", "git", "grype", "ibazel", "kubectl", "kustomize", "mkdir", "oasdiff", "pip",
    "podman", "pytest", "touch", "uv", "uvx",
]  # fmt: skip
# Pages elsewhere, each looked at by hand: no test asks the web.
PAGES = {
    "https://blog.vertexcover.io/container-coldstart",
    "https://docs.astral.sh/uv/guides/integration/docker/",
    "https://techcommunity.microsoft.com/blog/linuxandopensourceblog/dissecting-llm-container-cold-start-where-the-time-actually-goes/4508831",
    "https://bentoml.com",
    "https://github.com/bazel-contrib/supply-chain",
    "https://github.com/bazelbuild/bazelisk",
    "https://github.com/awslabs/data-on-eks/pull/1120",
    "https://github.com/awslabs/soci-snapshotter",
    "https://github.com/oasdiff/oasdiff",
    "https://github.com/sigstore/cosign",
    "https://semver.org",
    "https://slsa.dev/verification_summary/v1",
}
BAZEL = ["build", "cquery", "coverage", "fetch", "mod", "query", "run", "shutdown", "test", "vendor"]


def starlark_names() -> dict[str, object]:
    """What a block may use without loading it."""
    public = REPOSITORY.load("//toolchains:extensions.bzl")
    for name in reference.PUBLIC:
        public |= REPOSITORY.load(f"//rules:{name}.bzl")
    extensions = {value.name: value.proxy() for value in public.values() if isinstance(value, Extension)}
    known = {
        name: value for name, value in public.items() if isinstance(value, (Attributes, Provider)) or callable(value)
    }
    return bazel_names() | known | dict.fromkeys(OF_BAZEL, Unknown()) | extensions | {"use_extension": use_extension}


def use_extension(label: str, name: str, **_: object) -> object:
    if not label.startswith("@rules_bento//"):
        return Unknown()
    found = REPOSITORY.load(label).get(name)
    if not isinstance(found, Extension):
        raise DeclarationError(f"{label} has no {name}")
    return found.proxy()


def judge_starlark(text: str, place: str) -> None:
    REPOSITORY.run(text, place, starlark_names())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('bento_image(name = "a", base = ":b", bento = ":c", size = 1)', "bento_image has no attribute size"),
        ('bento_image(name = "a", base = ":b")', "bento_image lacks bento"),
        ('bento_image(base = ":b", bento = ":c")', "bento_image lacks name"),
        ('bento_package(name = "a", srcs = "service.py")', "srcs is 'service.py', but must be a list of labels"),
        ('bento_image(name = "a", base = ":b", bento = ":c", compression = "xz")', "Valid values: 'gzip', 'zstd'"),
        ('bento_service(name = "a", service = "s:S", basis = ":b")', "bento_package has no attribute basis"),
        ('bento_service(name = "a", service = "s:S", base = "python:3.13-slim")', "base is the label of a target"),
        ('bento.pypi(name = "pypi")', "bento.pypi lacks lock"),
        ('load("@rules_bento//rules:defs.bzl", "bento_bundle")', "has no bento_bundle"),
        ('load("@rules_bento//rules:bundle.bzl", "bento_bundle")', "doesn't exist"),
        ('use_extension("@rules_bento//toolchains:extensions.bzl", "bentos")', "has no bentos"),
        ('bento_bundle(name = "a")', "name 'bento_bundle' is not defined"),
        ("bento_package(", "was never closed"),
    ],
)
def test_what_bazel_would_reject_is_found(text: str, problem: str):
    with pytest.raises(DeclarationError, match=re.escape(problem)):
        judge_starlark(text, "block")


def judge_commands(block: Block) -> None:
    found = commands(block)
    assert found, f"{block.place}: no line begins with `$ `"
    for words in found:
        assert not problem_of(words), f"{block.place}: {' '.join(words)}: {problem_of(words)}"


def test_commands_are_given_or_say_why_not():
    shown = {
        " ".join(words)
        for block in BLOCKS
        if block.language == "console" and block.path != "docs/tutorial.md"
        for words in commands(block)
    }
    tables = (set(GIVEN), HELD.keys(), NOT_GIVEN.keys())
    for command in shown:
        times = sum(command in table or command.partition(" ")[0] in table for table in tables)
        assert times == 1, f"{command}: is in {times} tables of tests/docs/consoles.py"
    for entry in set().union(*tables):
        assert any(command == entry or command.partition(" ")[0] == entry for command in shown), f"{entry}: where?"


def problem_of(words: list[str]) -> str:
    """Why a command cannot be given; empty where it can."""
    program, rest = words[0], words[1:]
    if ".venv/bin/" in program:  # of a `bento_venv`
        return "" if program.rpartition("/")[2] in {"bentoml", "python"} else "which program is this?"
    if program in ("bazel", "tools/bazel"):
        ours, theirs = (rest[: rest.index("--")], rest[rest.index("--") + 1 :]) if "--" in rest else (rest, [])
        if not ours or ours[0] not in BAZEL:
            return "bazel has no such command"
        to_bento = any(re.fullmatch(r"(@rules_bento)?//tools:bento(_with_transports)?", word) for word in ours)
        return problem_of(["bento", *theirs]) if to_bento else ""
    if program == "bento":
        return bento_problem(rest)
    if program == "python3" and rest and rest[0] == "e2e/run.py":
        return "".join(
            f"no scenario {word}" for word in rest[1:] if word not in scenarios() and not word.startswith("-")
        )
    if "/" in program or (program == "python3" and rest and not rest[0].startswith("-")):
        path = ROOT / (program if "/" in program else rest[0])
        return "" if path.is_file() else f"{path.name} is not there"
    return "" if program in PROGRAMS else "which program is this?"


def bento_problem(words: list[str]) -> str:
    with mock.patch.object(Command, "invoke", return_value=0):
        return "bento does not take it" if main(words) else ""


@pytest.mark.parametrize(
    "line",
    [
        "bento lst", "bento list --no-such", "bazel biuld //:x", "bazel run @rules_bento//tools:bento -- lst",
        "python3 e2e/run.py no_such", "e2e/no_such.py", "bentoctl deploy",
    ],
)  # fmt: skip
def test_a_command_that_nothing_takes_is_found(line: str):
    assert problem_of(line.split())


def scenarios() -> set[str]:
    """The names of the scenarios of e2e/run.py, which is read and not imported: keys of the tables in its rows."""
    body = ast.parse((ROOT / "e2e/run.py").read_text("utf-8")).body
    [rows] = [node for node in body if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "ROWS"]
    return {ast.literal_eval(key) for row in ast.walk(rows) if isinstance(row, ast.Dict) for key in row.keys if key}


@pytest.mark.parametrize("path", documents(ROOT), ids=str)
def test_a_page_has_blocks_names_and_links_of_what_there_is(path: Path):
    for block in blocks(path):
        JUDGES.get(block.language, lambda _: None)(block)
    judge_names(path)
    for link in links(path):
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), f"{path}: {link}"
        assert not anchor or anchor in anchors(target), f"{path}: {link}: {sorted(anchors(target))}"


def judge_names(path: Path) -> None:
    """Flags, commands, and scenarios in a line exist."""
    flags = {flag.partition("=")[0].rpartition(":")[2] for flag in reference.flags(ROOT)}
    named = re.findall(r"--(?:@rules_bento)?//rules:(\w+)", path.read_text("utf-8"))
    assert set(named) <= flags, path
    for span in spans(path):
        words = span.replace("[", " ").replace("]", " ").replace("|", " ").split()
        if words[:1] == ["bento"] and len(words) > 1 and re.fullmatch(r"[a-z]+(-[a-z]+)*", words[1]):
            assert not mentioned_problem(words[1:]), f"{path.name}: `{span}`: {mentioned_problem(words[1:])}"
    for run in re.findall(r"e2e/run\.py((?: \w+)+)`", path.read_text("utf-8")):
        assert set(run.split()) <= scenarios(), f"{path.name}: {run}"


def test_defs_exports_rules_rather_than_functions_around_them():
    public = {name: value for name, value in REPOSITORY.load("//rules:defs.bzl").items() if name[0] != "_"}
    macros = [name for name, value in public.items() if name.startswith("bento_") and not isinstance(value, Rule)]
    assert macros == ["bento_debs", "bento_requirements", "bento_service"]


def test_bazel_is_told_of_the_attribute_that_layers_have():
    options = [block.text for block in BLOCKS if block.language == "bazelrc"]
    assert any(f"startup --unix_digest_hash_attribute_name={DIGEST_ATTRIBUTE}\n" in text for text in options)


def mentioned_problem(words: list[str]) -> str:
    """Why words of a sentence are no command: what it needs beside them may be left out."""
    if words[0] == "help":
        words = words[1:]
    commands = dict(groups.COMMANDS.walk())
    found = commands.get(" ".join(words[:2])) or commands.get(words[0])
    if found is None:
        is_group = any(name.startswith(f"{words[0]} ") for name in commands)
        return "" if is_group and words[1:] in ([], ["…"]) else "no such command"
    known = {"--help", *(name for param in found.params for name in param.opts)}
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known and word != "--"]
    return "" if words[0] == "serve" else ", ".join(unknown)


def judge_python(block: Block) -> None:
    shown = re.findall(r"`(?:\w+/)*(\w+)\.py`:", (ROOT / block.path).read_text("utf-8"))
    for node in ast.walk(compile(block.text, block.place, "exec", ast.PyCF_ONLY_AST)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert find_spec(alias.name), f"{block.place}: {alias.name}"
        elif isinstance(node, ast.ImportFrom) and node.module and node.module not in shown:
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name) or find_spec(f"{node.module}.{alias.name}"), (
                    f"{block.place}: {alias.name}"
                )


def test_the_functions_of_the_command_are_called_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """The two blocks of docs/cli.md: the second one builds what the first one imports."""
    reading, building = [block for block in BLOCKS if block.path == "docs/cli.md" and block.language == "python"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    service = "import bentoml\n\n\n@bentoml.service\nclass Svc:\n    pass\n"
    for path, text in {"service.py": service, "bentofile.yaml": "service: service:Svc\nname: iris\n"}.items():
        tmp_path.joinpath("svc").mkdir(exist_ok=True)
        tmp_path.joinpath("svc", path).write_text(text)
    made = run(building)
    tmp_path.joinpath("svc.bento").rename("iris.bento")
    done = run(reading, "/srv/bentoml", str(tmp_path / "home"))
    assert capsys.readouterr().out.startswith(f"{done['done'].entry.tag} ")
    assert tmp_path.joinpath("iris.tar").is_file()
    assert "alpine" in made["made"].bento.files["env/docker/Dockerfile"].decode()


def run(block: Block, path: str = "", place: str = "") -> dict[str, object]:
    """Return the names that a block leaves, run with a place of here for the path that it names."""
    assert path in block.text
    names: dict[str, object] = {}
    exec(compile(block.text.replace(path, place) if path else block.text, block.place, "exec"), names)
    return names


def test_the_language_of_a_block_is_one_that_is_judged():
    # Those of a bazelrc are given to Bazel by e2e `remote_cache` and `workers`, `floors` is read by tests/test_architecture.py,
    # rego by e2e `schemas`, Jenkins' Groovy and Mermaid by no test; what has no language is a drawing, or what a program prints.
    known = {
        "",
        "bazelrc",
        "console",
        "floors",
        "groovy",
        "json",
        "mermaid",
        "python",
        "rego",
        "starlark",
        "toml",
        "yaml",
    }
    assert not [block.place for block in BLOCKS if block.language not in known]
    shown = ("$ ", "bazel ", "bento ", "common ", "import ", "load(")
    without = [
        block.place
        for block in BLOCKS
        if not block.language and re.search(f"^({'|'.join(map(re.escape, shown))})", block.text, re.M)
    ]
    assert not without, "a block of commands says ```console, and one of code its language"


def test_links_of_the_web_were_looked_at():
    assert {link for path in documents(ROOT) for link in web_links(path)} == PAGES


def test_the_schema_of_bentofiles_is_what_the_reader_has():
    written = json.read_json((ROOT / "docs/bentofile.schema.json").read_text("utf-8"), "schema")
    assert written == bentofile_schema.schema(), "the schema is stale: run `python3 tools/bentofile_schema.py`"
    validator = pytest.importorskip("jsonschema").Draft7Validator(written)  # a dependency of no target
    for path in sorted(ROOT.glob("examples/**/bentofile.yaml")) + sorted(ROOT.glob("tests/**/bentofile.yaml")):
        assert not list(validator.iter_errors(yaml.read_yaml(path.read_text("utf-8"), str(path)))), path
    for text in (
        "pyton: {}",
        "docker: {distro: debain}",
        "python: {packages: six}",
        "models: [{alias: a}]",
        "envs: [{}]",
    ):
        assert list(validator.iter_errors(yaml.read_yaml(text, "bentofile"))), text


def test_the_reference_is_what_the_sources_say():
    written = (ROOT / "docs/reference.md").read_text("utf-8")
    assert written == reference.reference(ROOT), "docs/reference.md is stale: run `python3 tools/reference.py`"


def test_the_plots_have_the_figures_of_the_tables():
    drawn = plots.drawn(ROOT)
    assert {path: (ROOT / path).read_text("utf-8") for path in drawn} == drawn, "run `python bench/plots.py`"


def test_the_picture_of_a_terminal_is_the_recording():
    drawn = terminal.draw((ROOT / terminal.RECORDING).read_text("utf-8"))
    assert (ROOT / terminal.PICTURE).read_text("utf-8") == drawn, "run `python bench/terminal.py`"
    assert not re.search("(?<=>)[^<\n]* [^<\n]*(?=</text>)", drawn), "Chromium collapses rows of spaces"


def test_every_public_name_has_a_text():
    text = (ROOT / "docs/reference.md").read_text("utf-8")
    without = re.findall(r"^- `([^`]+)` \([^)]*\): $", text, re.MULTILINE)
    assert not without
    empty = re.findall(r"^### (.*)\n\n(?=- |###|\Z)", text, re.MULTILINE)
    assert not empty


def test_the_reference_has_all_providers_and_their_fields():
    text = (ROOT / "docs/reference.md").read_text("utf-8")
    text = text.partition("\n## Providers\n")[2].partition("\n## ")[0]
    defined = Repository(ROOT).load("//rules:providers.bzl")
    providers = {name: each for name, each in defined.items() if isinstance(each, Provider) and name[0] != "_"}
    assert list(providers) == re.findall(r"^### (\w+Info)$", text, re.MULTILINE)
    for name, provider in providers.items():
        section = text.partition(f"### {name}\n")[2].partition("\n### ")[0]
        assert re.findall(r"[ ,]`(\w+)`(?: \(|,|\.)", section.partition("\nFields:")[2]) == list(provider.fields)


def words(text: str) -> set[str]:
    """The words of a sentence, or of names in code, in the singular."""
    return {word.lower().removesuffix("s") for word in re.findall(r"[A-Z]?[a-z]{2,}", text)}


def test_the_answers_of_the_navigation_exist():
    """And the questions about what is decided where don't have their words."""
    text = Path("docs/contributing/navigation.md").read_text("utf-8")
    parts = [part.partition("\n| question |") for part in re.split(r"\n## Questions.*", text)[1:]]
    questions = [re.findall(r"(?m)^(\d+)\. (.+)", part[0]) for part in parts]
    answers = [re.findall(r"(?m)^\| (\d+) \| `(.+?)` \| `((?:\w+\.)?\w+)`", part[2]) for part in parts]
    for asked, given in zip(questions, answers, strict=True):
        assert [number for number, *_ in given] == [number for number, _ in asked]
    for _, path, name in itertools.chain(*answers):
        for each in name.split("."):
            assert re.search(rf"(def |class |^){each}\b", Path(path).read_text("utf-8"), re.M), (path, name)
    told = [
        (question, found)
        for (_, question), (_, path, name) in zip(questions[0], answers[0], strict=True)
        if (found := words(question) & words(f"{Path(path).stem} {name}"))
    ]
    assert told == []


JUDGES = {
    "console": judge_commands,
    "json": lambda block: json.read_json(block.text, block.place),
    "python": judge_python,
    "starlark": lambda block: judge_starlark(block.text, block.place),
    "toml": lambda block: toml.read_toml(block.text, block.place),
    "yaml": lambda block: yaml.read_yaml(block.text, block.place),
}
