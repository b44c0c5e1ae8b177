"""Reading bentofile.yaml and pyproject.toml: every key, every refusal with its line, and who wins."""

import datetime as dt

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rules_bento.base.dataclasses_lite import asdict
from rules_bento.base.errors import BentoError
from rules_bento.bentos.assembly.env.common import parse_dotenv
from rules_bento.bentos.build_options import option_reader
from rules_bento.bentos.build_options.bentofile import from_pyproject, from_yaml, read
from rules_bento.bentos.build_options.document import Document
from rules_bento.bentos.build_options.option_checks import check_package
from rules_bento.bentos.build_options.options import KEYS, EnvVariable, ModelChoice, merge, with_defaults

EVERYTHING = """\
service: "service:Svc"
name: Iris
description: |
  Two
  lines
labels:
  team: one
  version: 1.10
  number: 3
  flag: yes
include:
- "*.py"
exclude: ["tests/"]
docker:
  distro: debian
  python_version: 3.10
  env: {A: 1}
  system_packages: [curl]
  setup_script: s.sh
python:
  requirements_txt: r.txt
  lock_packages: false
  pack_git_packages: false
  index_url: https://i.example
  no_index: false
  trusted_host: h.example
  find_links: [https://f.example]
  extra_index_url: [https://e.example]
  pip_args: --pre
  wheels: [w-1-py3-none-any.whl]
  is_src_layout: true
conda:
  channels: [a]
  dependencies: [numpy, {pip: [idna]}]
models:
- "a:v1"
- tag: b:latest
  filter: label:stage=prod, label:x
  alias: c
envs:
- {name: E, value: 1}
- {name: F, stage: build}
- name: G
  value:
args:
  x: 1.5
  y: [a, {b: null}]
"""


def test_every_key_is_read():
    options = from_yaml(EVERYTHING, "bentofile.yaml")
    assert options.service == "service:Svc"
    assert options.name == "iris"
    assert options.description == "Two\nlines\n"
    assert options.labels == {"team": "one", "version": "1.10", "number": "3", "flag": "True"}
    assert (options.include, options.exclude) == (("*.py",), ("tests/",))
    assert options.docker.python_version == "3.10"
    assert options.docker.env == {"A": "1"}
    assert options.python.trusted_host == ("h.example",)
    assert options.python.is_src_layout is True
    assert options.conda.dependencies == ("numpy", {"pip": ["idna"]})
    assert options.models == (ModelChoice("a:v1"), ModelChoice("b:latest", "label:stage=prod, label:x", "c"))
    assert options.envs == (EnvVariable("E", "1"), EnvVariable("F", "", "build"), EnvVariable("G", ""))
    assert options.args == {"x": 1.5, "y": ["a", {"b": None}]}
    assert type(options.args["x"]) is float


def test_no_key_is_missing_here():
    mentioned = {line.strip().partition(":")[0].lstrip("- ") for line in EVERYTHING.splitlines()}
    alternatives = {"packages", "environment_yml", "pip", "cuda_version", "base_image", "dockerfile_template"}
    assert {key.rpartition(".")[2] for key in KEYS} <= mentioned | alternatives


def test_an_empty_file_has_no_options():
    for text in ("", "# nothing\n", "{}\n", "docker:\npython: {}\n", "---\n"):
        assert from_yaml(text, "b.yaml") == option_reader.parse(Document("", {}))


def test_times_and_keys_that_are_not_strings():
    """As BentoML converts them to strings."""
    text = (
        "labels: {a: 2026-01-01, b: 2026-01-01T12:00:00Z, 2024: c, 'on': d}\nargs: {1: 2, d: 2026-01-01, e: {'1': 2}}\n"
    )
    options = from_yaml(f"{text}envs: [{{name: A, value: 2026-01-01}}]\ndescription: 2026-01-01\n", "b.yaml")
    assert options.labels == {"a": "2026-01-01", "b": "2026-01-01 12:00:00+00:00", "2024": "c", "on": "d"}
    assert {type(key) for key in (*options.labels, *options.args)} == {str}
    assert options.args == {"1": 2, "d": dt.date(2026, 1, 1), "e": {"1": 2}}
    assert (options.envs[0].value, options.description) == ("2026-01-01", "2026-01-01")
    toml = "[tool.bentoml.build.labels]\na = 2026-01-01\nb = 12:30:00\n"
    assert from_pyproject(toml, "p").labels == {"a": "2026-01-01", "b": "12:30:00"}


def test_references_of_yaml_are_followed():
    options = from_yaml("labels: &l {a: b}\nargs:\n  <<: *l\n  c: *l\n", "b.yaml")
    assert options.args == {"a": "b", "c": {"a": "b"}}


@pytest.mark.parametrize(
    ("written", "whole"),
    [("12", "12.8.1"), ("'12'", "12.8.1"), ("12.8", "12.8.1"), ("11.8", "11.8.0"), ("default", "12.8.1")],
)
def test_cuda_versions(written, whole):
    assert from_yaml(f"docker: {{cuda_version: {written}}}", "b.yaml").docker.cuda_version == whole


@pytest.mark.parametrize(("written", "short"), [("3.9", "3.9"), ("3.10", "3.10"), ("'3.11.4'", "3.11")])
def test_python_versions(written, short):
    assert from_yaml(f"docker: {{python_version: {written}}}", "b.yaml").docker.python_version == short


REFUSED = [
    ("a: [", "b.yaml:1: invalid YAML"),
    ("text", "b.yaml:1: expected a mapping"),
    ("- a", "b.yaml:1: expected a mapping"),
    ("service: a\n\nservice: b", "b.yaml:3: duplicate key 'service'"),
    ("docker:\n  env:\n    A: 1\n    A: 2", "b.yaml:4: duplicate key 'A'"),
    ("servce: a", "b.yaml:1: servce: unknown option of BentoML 1.4. Did you mean 'service'?"),
    ("python:\n  pakages: [a]", "b.yaml:2: python.pakages: unknown option of BentoML 1.4. Did you mean 'packages'?"),
    ("x: 1\npython_version: 3.11", "b.yaml:1: x: unknown option"),
    ("python_version: 3.11", "b.yaml:1: python_version: unknown option of BentoML 1.4. Move the key to 'docker'."),
    ("image: {}", "Declare the image in the service"),
    ("additional_models: []", "Write 'models'."),
    ("envs:\n- name: A\n  stge: all", "b.yaml:3: envs[0].stge: unknown option of BentoML 1.4. Did you mean 'stage'?"),
    ("envs:\n- name: A\n  stage: built", "b.yaml:2: envs[0]: stage of A: invalid value 'built'. Did you mean 'build'?"),
    ("envs:\n- A=b", "b.yaml:2: envs[0]: expected a mapping with name, value, and optionally stage, got 'A=b'"),
    ("envs:\n- value: b", "b.yaml:2: envs[0]: the variable has no `name`. Add the key `name`."),
    ("envs:\n- name: A-B", "b.yaml:2: envs[0]: invalid variable name 'A-B'"),
    ('envs:\n- {name: A, value: "x\\ny"}', "b.yaml:2: envs[0]: the value of A contains a line break"),
    ("labels: [a]", "b.yaml:1: labels: expected a mapping of strings, got a list"),
    ("labels:\n  a: [b]", "b.yaml:2: labels.a: expected a string, got a list"),
    ("labels:\n  a:", "b.yaml:2: labels.a: expected a string, got no value"),
    ("labels: {'': a}", "labels: a key is empty"),
    # BentoML writes the labels 'True', 'None', and '2026-01-01', and the arguments {True: 1}, {1: 2}.
    ("labels:\n  on: a", "b.yaml:2: the key 'on' is a boolean in YAML 1.1. Put the key in quotes."),
    ("labels: {Yes: a}", "b.yaml:1: the key 'Yes' is a boolean in YAML 1.1. Put the key in quotes."),
    ("labels: {~: a}", "the key '~' is null in YAML 1.1. Put the key in quotes."),
    ("labels: {2026-01-01: a}", "the key '2026-01-01' is a time in YAML 1.1. Put the key in quotes."),
    ("envs:\n- {name: A, on: x}", "b.yaml:2: the key 'on' is a boolean in YAML 1.1. Put the key in quotes."),
    ("docker: {env: {off: x}}", "the key 'off' is a boolean in YAML 1.1. Put the key in quotes."),
    ("args: {on: 1}", "the key 'on' is a boolean in YAML 1.1. Put the key in quotes."),
    ("args:\n  a:\n    b: [{1: 2}]", "b.yaml:3: args.a.b[0].1: the key 1 is a number. Put the key in quotes."),
    ("args: {a: {1.5: 2}}", "args.a.1.5: the key 1.5 is a number. Put the key in quotes."),
    ("include: '*.py'", "b.yaml:1: include: expected a list of strings, got the string '*.py'"),
    ("include:\n- a\n- [b]", "b.yaml:3: include[1]: expected a string, got a list"),
    ("include: [yes]", "include[0]: expected a string, got a boolean"),
    ("args: [a]", "b.yaml:1: args: expected a mapping, got a list"),
    ("models: a", "b.yaml:1: models: expected a list, got the string 'a'"),
    ("models:\n- alias: a", "b.yaml:2: models[0]: the model has no tag"),
    ("models:\n- tag: a\n  filter: x", "b.yaml:3: models[0].filter: expected label:KEY or label:KEY=VALUE, got 'x'"),
    ("docker: []", "b.yaml:1: docker: expected a mapping, got a list"),
    ("docker:\n  distro: debain", "b.yaml:2: docker.distro: invalid value 'debain'. Did you mean 'debian'?"),
    ("docker:\n  python_version: three", "b.yaml:2: docker.python_version: invalid Python version 'three'"),
    ("docker:\n  python_version: 2.7", "b.yaml:2: docker.python_version: Python '2.7' isn't supported"),
    ("docker:\n  cuda_version: 10", "b.yaml:2: docker.cuda_version: invalid value '10'"),
    ("docker:\n  cuda_version: 12\n  distro: alpine", "b.yaml:2: docker.cuda_version: distro 'alpine' doesn't support"),
    ("docker:\n  cuda_version: 12\n  base_image: a", "b.yaml:2: docker.cuda_version: BentoML ignores this option if docker"),
    ("docker:\n  env: [A]", "b.yaml:2: docker.env: expected NAME=VALUE in item 1"),
    ("docker:\n  env: 3", "b.yaml:2: docker.env: expected a mapping, a list of NAME=VALUE"),
    ("docker:\n  env: {1A: b}", "b.yaml:2: docker.env: invalid variable name '1A'"),
    ("docker:\n  system_packages: ['curl git']", "b.yaml:2: docker.system_packages: invalid system package 'curl git'"),
    ("docker:\n  system_packages: ['-y']", "b.yaml:2: docker.system_packages: invalid system package '-y'"),
    ("docker:\n  base_image: a b", "b.yaml:2: docker.base_image: invalid image name 'a b'"),
    ("python:\n  no_index: 'no'", "b.yaml:2: python.no_index: expected true or false, got the string 'no'"),
    ("python:\n  packages: numpy", "b.yaml:2: python.packages: expected a list of strings, got the string 'numpy'"),
    ('python:\n  packages: ["a\\nb"]', "expected a single requirement, got"),
    ("python:\n  packages: ['--extra-index-url x']", "python.packages: --extra-index-url can't have the value 'x'"),
    ("python:\n  packages: ['--no-cache-dir']", "uv doesn't support '--no-cache-dir' in a requirements file"),
    ("python:\n  packages: ['-r x.txt']", "b.yaml:2: python.packages: a Bento can't refer to the file 'x.txt'"),
    ("python:\n  packages: ['-e .']", "b.yaml:2: python.packages: can't install '-e .', because the image"),
    ("python:\n  packages: [six, 'numpy>>1']", "b.yaml:2: python.packages: invalid requirement 'numpy>>1' (PEP 508)"),
    ("python:\n  packages: [six, 'numpy[x]=1.26']", "invalid requirement 'numpy[x]=1.26' (PEP 508): Expected semicolon"),
    ("python:\n  packages: [a]\n  requirements_txt: r", "b.yaml:2: python.packages: BentoML ignores this option if"),
    ("python:\n  index_url: 'a b'", "b.yaml:2: python.index_url: expected a URL without spaces, got 'a b'"),
    ("python:\n  wheels: ['*.whl']", "BentoML doesn't expand the pattern"),
    ("python:\n  wheels: [a.txt]", "isn't a wheel or a source archive"),
    ("python:\n  wheels: [a/w.whl, b/w.whl]", "b.yaml:2: python.wheels: two files are named 'w.whl'"),
    ("conda:\n  channels: a", "b.yaml:2: conda.channels: expected a list of strings, got the string 'a'"),
    ("conda:\n  dependencies: [{a: b}]", "b.yaml:2: conda.dependencies: expected a mapping with only the key 'pip'"),
    ("conda:\n  dependencies: [1]", "b.yaml:2: conda.dependencies: expected a string, got the number 1"),
    ("conda:\n  pip: [a]\n  dependencies: [{pip: [b]}]", "b.yaml:3: conda.dependencies: 'pip' is set twice"),
    ("conda:\n  environment_yml: e\n  pip: [a]", "b.yaml:3: conda.pip: BentoML ignores this option if"),
    ("conda:\n  pip: [a]\ndocker:\n  cuda_version: 12", "b.yaml:4: docker.cuda_version: BentoML has no default base image with both"),
    ("conda:\n  pip: [a]\ndocker:\n  distro: ubi8", "b.yaml:1: conda: distro 'ubi8' doesn't support conda"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_rejected_with_its_place(text, message):
    with pytest.raises(BentoError) as error:
        from_yaml(text, "b.yaml")
    assert message in str(error.value)
    assert str(error.value).startswith("b.yaml:")
    assert str(error.value).endswith((".", "}", "?"))


VALUE_KEYS = st.sampled_from([*KEYS, "tag", "name", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(VALUE_KEYS, inner, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(st.dictionaries(st.sampled_from([key.partition(".")[0] for key in KEYS]), VALUES, max_size=4))
def test_any_values_are_options_or_rejected(data):
    try:
        option_reader.parse(Document("", data))
    except BentoError as error:
        assert "\n" not in repr(str(error))


# pyproject.toml

PYPROJECT = """\
[project]
name = "My-Project"
dependencies = ["idna", "attrs>=20"]

[tool.other]
labels = 3

[tool.bentoml.build]
service = "service:Svc"
labels = {a = "b"}
docker.python_version = 3.10

[tool.bentoml.build.python]
packages = ["numpy"]

[[tool.bentoml.build.envs]]
name = "A"

[[tool.bentoml.build.envs]]
name = "B"
stage = "build"
"""


def test_pyproject():
    options = from_pyproject(PYPROJECT, "pyproject.toml")
    assert options.name == "my-project"
    assert options.docker.python_version == "3.10"
    assert options.python.packages == ("numpy", "idna", "attrs>=20")
    assert options.python.is_src_layout is None
    assert options.envs == (EnvVariable("A"), EnvVariable("B", stage="build"))


@pytest.mark.parametrize(
    ("change", "packages"),
    [
        ((), ["numpy", "idna", "attrs>=20"]),
        (('packages = ["numpy"]', ""), ["idna", "attrs>=20"]),
        (('packages = ["numpy"]', 'requirements_txt = "r.txt"'), ["idna", "attrs>=20"]),
    ],
)
def test_packages_of_the_generated_bentofile(change, packages):
    """As in BentoML: a list, which has the project's dependencies even if the requirements file replaces them."""
    text = PYPROJECT.replace(*change) if change else PYPROJECT
    options = from_pyproject(text, "p")
    assert with_defaults(options, "3.11", {}, locked=True)["python"]["packages"] == packages
    assert (options.python.packages is None) is ("requirements_txt" in text)
    without = from_pyproject(text.replace('dependencies = ["idna", "attrs>=20"]', ""), "p")
    assert with_defaults(without, "3.11", {}, locked=True)["python"]["packages"] == packages[:-2]
    assert with_defaults(from_yaml("{}", "b"), "3.11", {}, locked=True)["python"]["packages"] is None


def test_a_dependency_of_the_project_that_is_not_a_requirement():
    with pytest.raises(BentoError, match=r"^p: project\.dependencies: invalid requirement 'numpy>>1' \(PEP 508\)"):
        from_pyproject(PYPROJECT.replace("attrs>=20", "numpy>>1"), "p")


# What uv says of each as the line of a requirements file; an address is taken as it is.
TAKEN = [
    "numpy", "numpy>=1,", "numpy==1.*", "numpy>=1.0,<2", "numpy (>=1)", "numpy(>=1,<2)", "numpy[a, b]", "numpy[]",
    "numpy==1.0+cu1", "numpy~=1.0", "numpy==1 ; python_version>='3.8'", "numpy;python_version<'3'", "x.y", "1x",
    "numpy @ https://h/x.zip ; sys_platform=='linux'", "numpy@https://h/numpy-1-py3-none-any.whl", "numpy>= 1", "numpy==1!2",
    "https://h/numpy-1-py3-none-any.whl", "git+https://h/r.git@main", "git+ssh://git@h/r.git#egg=x", "./own", "own/lib",
    "numpy # why", f"numpy==1 --hash=sha256:{'0' * 64}", f"numpy==1 --hash sha512:{'0' * 128}", " numpy==1 ",
]  # fmt: skip
NOT_TAKEN = [
    "numpy>>1", "a b c", "???", "numpy>=1.*", "numpy~=1", "numpy==foo", "numpy=1", "numpy[a", "numpy[a,]", "numpy[,a]",
    "numpy==1; python_version>'3' and", "numpy; foo=='x'", "numpy==1 --foo", "numpy==1 --config-settings=a=b", "$X",
    "numpy==${V}", "_x", "x-", "numpy <2 >1", "numpy==1 numpy==2", "numpy,pandas", "numpy > =1", "numpy==1;", "numpy≥1",
    "numpy==2.*.1", "numpy==*", "numpy>1.0+local", "numpy[a] [b]", "numpy<2>1", "numpy>=1 and <2", "numpy#c",
    "numpy ; (((" + "(" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("text", TAKEN)
def test_a_requirement_is_accepted(text):
    check_package(text, "here")


@pytest.mark.parametrize("text", NOT_TAKEN)
def test_an_invalid_requirement_is_named(text):
    with pytest.raises(
        BentoError, match=r"^here: (invalid requirement .* \(PEP 508\)|'numpy==1' is followed by the option --)"
    ):
        check_package(text, "here")


def test_pyproject_next_to_a_src_directory(tmp_path):
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    assert read(tmp_path / "pyproject.toml", "p", src_exists=True).python.is_src_layout is True
    off = PYPROJECT.replace('packages = ["numpy"]', "is_src_layout = false")
    assert from_pyproject(off, "p", src_exists=True).python.is_src_layout is False


def test_a_requirements_file_stands_for_the_dependencies_of_the_project():
    text = PYPROJECT.replace('packages = ["numpy"]', 'requirements_txt = "r.txt"')
    assert from_pyproject(text, "p").python.packages is None


def test_a_name_of_its_own_wins_over_that_of_the_project():
    assert from_pyproject(PYPROJECT.replace("service = ", 'name = "Own"\nservice = '), "p").name == "own"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("labels = {", "labls = {"), "p: labls: unknown option of BentoML 1.4. Did you mean 'labels'?"),
        (("docker.python_version = 3.10", 'docker.distro = "x"'), "p: docker.distro: invalid value 'x'"),
        (('["numpy"]', "3"), "p: python.packages: expected a list of strings, got the number 3"),
        (('name = "B"', 'nme = "B"'), "p: envs[1].nme: unknown option of BentoML 1.4. Did you mean 'name'?"),
        (("[project]", "[project"), "p:1: invalid TOML"),
        (('["idna", "attrs>=20"]', "3"), "p: project.dependencies: expected a list of strings"),
        (("[tool.bentoml.build]", "[tool.bentoml.build.docker]"), "p:"),
        (('name = "My-Project"', "name = 5"), "p: project: name: expected a string, got a number"),
        (('name = "My-Project"', 'requires-python = [">=3.10"]'), "p: project: requires-python: expected a string"),
        *(((PYPROJECT[: PYPROJECT.index("[tool.")], f"project = {value}\n"), "p: project: expected a mapping, got ") for value in ("5", "true", '"x"', "[]", "1979-05-27", "[{name = 'x'}]")),
    ],
)  # fmt: skip
def test_pyproject_rejected_with_its_place(change, message):
    with pytest.raises(BentoError) as error:
        from_pyproject(PYPROJECT.replace(*change), "p")
    assert message in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "bentofile.yaml"
    with pytest.raises(BentoError, match="^name: cannot read the file"):
        read(path, "name")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BentoError, match="^name:1: the file isn't UTF-8"):
        read(path, "name")


# Attributes and bentofile together


def attributes(**data):
    return option_reader.parse(Document("", data))


def test_attributes_win_option_by_option():
    bentofile = from_yaml(EVERYTHING, "b.yaml")
    own = attributes(
        name="own",
        labels={"team": "two", "more": "x"},
        docker={"python_version": "3.12"},
        python={"packages": ["numpy"]},
        envs=[{"name": "E", "value": "2"}, {"name": "G"}],
        args={"x": "3"},
    )
    merged = merge(own, bentofile)
    assert merged.name == "own"
    assert merged.labels == {**bentofile.labels, "team": "two", "more": "x"}
    assert (merged.docker.python_version, merged.docker.distro) == ("3.12", "debian")
    assert (merged.python.packages, merged.python.requirements_txt) == (("numpy",), None)
    assert merged.envs == (EnvVariable("F", "", "build"), EnvVariable("E", "2"), EnvVariable("G"))
    assert merged.args == {**bentofile.args, "x": "3"}
    assert asdict(merged.conda) == asdict(bentofile.conda)


def test_nothing_is_lost_in_a_merge_with_nothing():
    bentofile = from_yaml(EVERYTHING, "b.yaml")
    assert merge(attributes(), bentofile) == bentofile
    assert merge(bentofile, attributes()) == bentofile


@pytest.mark.parametrize("service", ["service:Svc", "service.py:Svc"])
def test_both_name_one_service(service):
    assert merge(attributes(service=service), from_yaml(EVERYTHING, "b.yaml")).service == service


@pytest.mark.parametrize("service", ["service", "service.py"])
def test_a_file_names_the_service_of_the_bentofile(service):
    assert merge(attributes(service=service), from_yaml(EVERYTHING, "b.yaml")).service == "service:Svc"


@pytest.mark.parametrize("service", ["x:Y", "x.py", "serv", "service:Other"])
def test_two_services(service):
    problem = rf"^b\.yaml:1: service: 'service:Svc' differs from the requested service '{service}'"
    with pytest.raises(BentoError, match=problem):
        merge(attributes(service=service), from_yaml(EVERYTHING, "b.yaml"))


def test_what_does_not_go_together_is_found_across_both():
    with pytest.raises(BentoError, match=r"^docker\.cuda_version: distro 'alpine' doesn't support CUDA"):
        merge(attributes(docker={"cuda_version": "12"}), from_yaml("docker: {distro: alpine}", "b.yaml"))


# docker.env as a file


def test_dotenv():
    text = """\
# comment
A=1
export B = "x \\"y\\" $A" # behind
C='$A'
D=${A}-\\$A # behind
E=

F: z#1
"""
    found = parse_dotenv(text, ".env")
    assert found == {"A": "1", "B": 'x "y" 1', "C": "$A", "D": "1-$A", "E": "", "F": "z#1"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=1\nB", "f:2: invalid line. Write NAME=value."),
        ("A='x", "doesn't end with a closing quote"),
        ('A="x" y', "doesn't end with a closing quote"),
        ("A=$HOME", "f:1: $HOME isn't defined on a previous line"),
    ],
)
def test_dotenv_rejected(text, message):
    with pytest.raises(BentoError) as error:
        parse_dotenv(text, "f")
    assert message in str(error.value)
