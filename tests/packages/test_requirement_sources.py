"""What requirements files, pyproject.toml and bentofile.yaml ask for, and what a stale lock is told by."""

import json

import pytest
from rules_bento.actions.subcommands import run
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages import lock_format as locks
from rules_bento.bentos.packages import lock_with_uv
from rules_bento.bentos.packages.indexes import Indexes, split_index
from rules_bento.bentos.packages.requirement_files import RequirementSource, read

PROJECT = """\
[project]
name = "own"
dependencies = ["flask>=2", "tool ; sys_platform == 'linux'"]
[project.optional-dependencies]
gpu = ["torch"]
all = ["own[gpu]", "rich"]
[dependency-groups]
test = ["pytest", { include-group = "lint" }]
lint = ["ruff"]
[tool.uv.sources]
tool = { git = "https://host/tool", rev = "v1", subdirectory = "py" }
"""


def write(directory, name: str, text: str) -> RequirementSource:
    (directory / name).write_text(text, "utf-8")
    return RequirementSource(directory / name, name)


def test_requirements_files_include_others_and_have_constraints(tmp_path):
    more = write(tmp_path, "more.txt", "numpy<3  # why\n--index-url https://host/simple\n")
    limits = write(tmp_path, "limits.txt", "idna<4\n")
    source = write(tmp_path, "r.in", "-r more.txt\n-c limits.txt\nnumpy<3\nflask [async] >= 2\n")
    declared = read([limits, source, more])
    assert list(declared.requirements) == ["numpy<3", "flask [async] >= 2"]
    assert declared.requirements["flask [async] >= 2"] == "r.in:4"
    assert list(declared.constraints) == ["idna<4"]
    assert [option.value for option in declared.options] == ["https://host/simple"]


def test_overrides_ask_for_nothing_and_come_from_files_and_from_a_pyproject(tmp_path):
    over = write(tmp_path, "over.txt", "-c limits.txt\n-r more.txt\ncore==2\n")
    more, limits = write(tmp_path, "more.txt", "web<3\n"), write(tmp_path, "limits.txt", "idna<4\n")
    declared = read([write(tmp_path, "r.in", "flask\n")], constraints=[limits], overrides=[over, more])
    assert list(declared.requirements) == ["flask"]
    assert declared.constraints == {"idna<4": "limits.txt:1"}
    assert declared.overrides == {"core==2": "over.txt:3", "web<3": "more.txt:1"}
    text = "[project]\n[tool.uv]\noverride-dependencies = ['x<2']\n"
    origin = "pyproject.toml: tool.uv.override-dependencies"
    assert read([write(tmp_path, "pyproject.toml", text)]).overrides == {"x<2": origin}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be-with-mark"])
def test_a_file_with_a_byte_order_mark_is_read_as_uv_reads_it(tmp_path, encoding):
    text = "flask  # größer\n"
    content = ("\ufeff" + text).encode("utf-16-be") if encoding.endswith("with-mark") else text.encode(encoding)
    (tmp_path / "r.in").write_bytes(content)
    assert read([RequirementSource(tmp_path / "r.in", "r.in")]).requirements == {"flask": "r.in:1"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"flask\n\xff\n", r"r\.in:2: invalid UTF-8\. Save the file as UTF-8\."),
        (b"\xff\xfef\0\n\0x", r"r\.in:2: invalid UTF-16-LE"),
        ("flask\n".encode("utf-16-le"), r"r\.in:1: 'f\\x00.* contains a control character"),
        (b"flask\nidna\x0cattrs\n", r"r\.in:2: .* contains a control character"),
    ],
)
def test_bytes_that_are_no_text_are_rejected_by_line(tmp_path, content, message):
    (tmp_path / "r.in").write_bytes(content)
    with pytest.raises(BentoError, match=message):
        read([RequirementSource(tmp_path / "r.in", "r.in")])


@pytest.mark.parametrize("line", ["-r s.in", "-rs.in", "--requirement=./s.in"])
def test_a_file_is_included_in_each_form_of_pip(tmp_path, line):
    sources = [write(tmp_path, "r.in", f"{line}\n"), write(tmp_path, "s.in", "flask\n")]
    assert read(sources).requirements == {"flask": "s.in:1"}


def test_files_that_name_one_another_are_rejected(tmp_path):
    first, second = write(tmp_path, "r.in", "-r s.in\n"), write(tmp_path, "s.in", "flask\n-c r.in\n")
    with pytest.raises(BentoError, match=r"s\.in:2: r\.in includes itself through main\.in, r\.in, s\.in\. Remove"):
        read([write(tmp_path, "main.in", "-r r.in\n"), first, second])
    with pytest.raises(BentoError, match=r"includes itself"):
        read([first, second])


def test_a_pyproject_brings_dependencies_extras_and_groups(tmp_path):
    source = write(tmp_path, "pyproject.toml", PROJECT)
    tool = "tool @ git+https://host/tool@v1#subdirectory=py ; sys_platform == 'linux'"
    assert list(read([source]).requirements) == ["flask>=2", tool, "torch", "rich", "ruff", "pytest"]
    assert list(read([source], ["gpu"], ["lint"]).requirements) == ["flask>=2", tool, "torch", "ruff"]
    with pytest.raises(BentoError, match=r"pyproject.toml: extras: unknown values: cpu\. Valid values: all, gpu\."):
        read([source], ["cpu"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[project]\ndependencies = 'flask'\n", r"project\.dependencies: expected a list, got a string"),
        ("[project]\ndependencies = ['a==']\n", r"p/pyproject\.toml: project\.dependencies: invalid requirement 'a=='"),
        ("[project]\n[dependency-groups]\na = [{include-group = 'b'}]\n", r"dependency-groups\.a: invalid entry"),
        ("[project]\n[tool.uv]\nexclude-dependencies = ['x']\n", r"doesn't support tool\.uv\.exclude-dependencies\."),
        ("[project]\ndependencies = ['x']\n[tool.uv.sources]\nx = {path = '../x'}\n", r"sources\.x: only `index`, and `git` with branch, rev, subdirectory, tag, are supported\."),
    ],
)  # fmt: skip
def test_a_pyproject_that_cannot_be_locked_is_reported_by_table(tmp_path, text, message):
    (tmp_path / "p").mkdir()
    with pytest.raises(BentoError, match=message):
        read([write(tmp_path, "p/pyproject.toml", text)])


def test_a_source_also_applies_to_an_override(tmp_path):
    text = PROJECT.replace(
        "[tool.uv.sources]", "[tool.uv]\noverride-dependencies = ['Tool>=2', 'x<2']\n[tool.uv.sources]"
    )
    declared = read([write(tmp_path, "pyproject.toml", text)])
    assert list(declared.overrides) == ["Tool @ git+https://host/tool@v1#subdirectory=py", "x<2"]


def test_extras_and_groups_that_name_one_another_are_taken_once(tmp_path):
    text = "[project]\nname = 'O.wn'\n"
    text += "[project.optional-dependencies]\na_b = ['o-wn[c]', 'x']\nc = ['own', 'o_wn[A-B]']\n"
    text += "[dependency-groups]\nd = [{include-group = 'e'}]\ne = ['y', {include-group = 'd'}]\n"
    assert list(read([write(tmp_path, "pyproject.toml", text)]).requirements) == ["own", "x", "y"]


def test_a_bentofile_brings_its_packages(tmp_path):
    requirements = write(tmp_path, "requirements.txt", "pandas\n")
    text = "service: a:B\npython:\n  packages: [scikit-learn, 'numpy<3']\n  requirements_txt: requirements.txt\n"
    bentofile = write(tmp_path, "bentofile.yaml", text + "  extra_index_url: https://host/simple\n")
    declared = read([bentofile, requirements])
    assert list(declared.requirements) == ["scikit-learn", "numpy<3", "pandas"]
    [option] = declared.options
    assert (option.flag, option.value) == ("--extra-index-url", "https://host/simple")
    assert option.place.endswith("bentofile.yaml: python"), "without a line"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-r absent.txt\n", r"r\.in:1: absent\.txt isn't declared\. Add the file to srcs, constraints, or overrides\."),
        ("-r /etc/passwd\n", r"r\.in:1: /etc/passwd isn't declared"),
        ("-r https://host/r.txt\n", r"r\.in:1: the remote file 'https://host/r\.txt' can't be included"),
        ("flask\n-e .\n", r"r\.in:2: unsupported option -e\. The option installs a directory\. Add the repository's code .* deps"),
        ("--no-binary flask\n", r"r\.in:1: unsupported option --no-binary\. Only releases without a wheel"),
        ("--pre\n", r"r\.in:1: unsupported option --pre.* pre-releases .* such as 'name>=1\.0rc1'"),
        ("--resume-retries 3\n", r"r\.in:1: unsupported option --resume-retries.* A lock doesn't need this option"),
        ("flask\nsix==\n", r"r\.in:2: invalid requirement 'six==' \(PEP 508\): Expected"),
        ("six ; platform = 'x'\n", r"r\.in:1: invalid requirement \"six ; platform = 'x'\""),
        ("./own\n", r"r\.in:1: '\./own' is a local path\. Add the repository's code .* with bento_wheel"),
        ("wheels/own-1.0-py3-none-any.whl\n", r"r\.in:1: .* is a local path"),
        ("own-1.0-py3-none-any.whl\n", r"r\.in:1: .* is a local path"),
        ("own @ file:///own.whl\n", r"r\.in:1: .* is a local path"),
        ("https://host/own.whl\n", r"r\.in:1: the URL .* requires a package name\. Write 'name @ https://host/own\."),
        ("flask\n==1\n", r"r\.in:2: invalid requirement '==1'"),
        ("a @ https://user:secret@host/a.whl\n", r"r\.in:1: a @ https://host/a\.whl contains credentials"),
    ],
)  # fmt: skip
def test_what_cannot_be_locked_is_named(tmp_path, text, message):
    with pytest.raises(BentoError, match=message) as caught:
        read([write(tmp_path, "r.in", text)])
    assert "secret" not in str(caught.value)


def test_indexes_have_no_credentials_and_known_names():
    assert split_index("corp=https://host/simple?a=b") == ("corp", "https://host/simple?a=b")
    assert split_index("https://host/simple?a=b") == ("", "https://host/simple?a=b")
    with pytest.raises(BentoError, match="explicit: unknown index 'corp' for mine. Named indexes: none"):
        Indexes.from_json(json.dumps({"explicit": {"mine": "corp"}}), "//:t")
    with pytest.raises(BentoError, match="//:t: corp=https://host/simple contains credentials") as caught:
        Indexes.from_json(json.dumps({"extra": ["corp=https://token@host/simple"]}), "//:t")
    assert "token" not in str(caught.value)


def check(directory, lock: dict | None, *flags: str) -> int:
    """The status of the test target's program."""
    (directory / "lock.json").write_text(locks.dumps(lock) if lock else "", "utf-8")
    arguments = ["check_requirements", "--target", "//:test", "--update", "//:update", "--requires-python", ">=3.10"]
    arguments += [
        *("--lock", str(directory / "lock.json"), "lock.json", "--source", str(directory / "r.in"), "r.in", *flags)
    ]
    return run(arguments)


@pytest.fixture
def locked(tmp_path):
    """A lock of `web`, and its source."""
    declared = read([write(tmp_path, "r.in", "web>=2\n")])
    return {
        "lock": 1,
        "requires_python": ">=3.10",
        "inputs": lock_with_uv.lock_inputs(declared, Indexes(), []),
        "roots": [{"name": "web"}],
        "packages": [
            {"name": "web", "version": "2.0", "dependencies": [{"name": "core"}], "files": {}},
            {"name": "core", "version": "3.1", "files": {}},
        ],
    }


def test_a_lock_is_fresh_whatever_the_comments(tmp_path, locked, capsys):
    assert check(tmp_path, locked) == 0
    write(tmp_path, "r.in", "# a comment\n\nweb>=2  # another\n")
    assert check(tmp_path, locked) == 0
    assert capsys.readouterr().err == ""


def test_a_stale_lock_is_reported_by_what_changed(tmp_path, locked, capsys):
    write(tmp_path, "r.in", "# first\nweb>=3\n")
    assert check(tmp_path, locked, "--platform", "linux_amd64") == 1
    assert capsys.readouterr().err == (
        "//:test: lock.json is stale:\n"
        "  r.in:2: web>=3 is not locked\n"
        "  web>=2 is locked, but no source requires this package\n"
        "  the platforms differ\n"
        "To update the lock, run `bazel run //:update`.\n"
    )


def test_an_override_that_is_not_locked_makes_the_lock_stale(tmp_path, locked, capsys):
    write(tmp_path, "over.txt", "core>=2\n")
    write(tmp_path, "r.in", "web>=2\n")
    assert check(tmp_path, locked, "--override", str(tmp_path / "over.txt"), "over.txt") == 1
    assert "  over.txt:1: core>=2 is not locked as an override\n" in capsys.readouterr().err
    locked["inputs"]["overrides"] = ["core>=2"]
    check(tmp_path, locked, "--override", str(tmp_path / "over.txt"), "over.txt")
    assert "override" not in capsys.readouterr().err
    check(tmp_path, locked)
    assert "  core>=2 is locked as an override, but no source declares this package\n" in capsys.readouterr().err


def test_a_lock_from_a_careless_merge_is_reported(tmp_path, locked, capsys):
    del locked["packages"][1]
    locked["packages"].append({"name": "left-over", "version": "1", "files": {}})
    assert check(tmp_path, locked) == 1
    shown = capsys.readouterr().err
    assert "web needs core, which is not in the lock" in shown
    assert "left-over 1 is in the lock, but not needed" in shown


@pytest.mark.parametrize(
    "values", [{"default": "{}"}, {"extra": ["corp={}"]}, {"extra": ["{}"]}, {"find_links": ["{}"]}]
)
def test_an_address_of_an_index_has_no_variable(values):
    """uv would replace it, and send the value to the server."""
    text = json.dumps(values).replace("{}", "https://host/$" + "{TOKEN}/simple")
    with pytest.raises(BentoError, match=r"^//:t: an address of an index contains '\$'"):
        Indexes.from_json(text, "//:t")
