"""Bentos without Bazel: the same as the actions make, and what the functions take."""

import json
import os
import re
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
import yaml
from bento_cli.projects.from_directory import ExtraOptions, build, build_bentofile
from rules_bento.actions.archives import archive
from rules_bento.actions.bento_sources import snapshot
from rules_bento.actions.package import package
from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import decode
from rules_bento.bentos.assembly.env.common import CREATION_TIME, PYTHON_VERSION
from rules_bento.bentos.assembly.kinds import BENTOML_VERSION
from rules_bento.bentos.assembly.named_files import named_files
from rules_bento.bentos.build_options.bentofile import read
from rules_bento.bentos.build_options.project import ProjectFiles
from rules_bento.bentos.packages.requirement_syntax import LockedRequirements
from rules_bento.bentos.service import read_service

from tests.helpers.golden_bentos import BENTO_PROJECTS, store_of
from tests.helpers.projects import write_project

IRIS = BENTO_PROJECTS["iris_svc"]


@pytest.fixture
def directory(tmp_path):
    return write_project(tmp_path / "svc", IRIS, "")


@pytest.fixture
def store(tmp_path):
    return store_of(tmp_path / "models")


def by_actions(work: Path, directory: Path, *words: str, snapshot_words=(), package_words=(), made=None) -> Path:
    """The archive that the rule's actions make of the files of a folder, with the models of a Bento that was made."""
    work.mkdir()
    models = model_files(work, made) if made else ()
    snapshot_words, package_words = (*snapshot_words, *words), (*package_words, *words)
    sources = [
        word
        for path in sorted(directory.rglob("*"))
        if path.is_file()
        for word in ("--source", str(path), f"svc/{path.relative_to(directory)}", "//svc:file")
    ]
    out = {name: str(work / name) for name in ("manifest", "service", "sources", "unused", "metadata")}
    words = ["--target", "//svc:b", "--build-ctx", "svc", "--manifest", out["manifest"], *sources, *snapshot_words]
    words += ["--service-info", out["service"], "--part", out["sources"], "--unused", out["unused"]]
    snapshot(decode(snapshot, words))
    words = ["--target", "//svc:b", "--creation-time", CREATION_TIME, "--bentoml-version", BENTOML_VERSION]
    words += ["--python-version", PYTHON_VERSION, "--sources", out["manifest"], "--service-info", out["service"]]
    words += ["--part", out["metadata"], "--bento-yaml", str(work / "bento.yaml"), "--manifest", str(work / "m")]
    words += [
        "--imports",
        str(work / "imports"),
        "--digest",
        str(work / "digest"),
        "--tag",
        str(work / "tag"),
        *package_words,
    ]
    words += [word for description, _ in models for word in ("--model", str(description), "")]
    package(decode(package, words))
    words = ["--output", str(work / "b.bento"), "--part", out["metadata"], "--part", out["sources"]]
    words += [word for model in models for word in ("--model", *map(str, model))]
    archive(decode(archive, words))
    return work / "b.bento"


def model_files(work: Path, made) -> list[tuple[Path, Path]]:
    """Description and part of each model, as the model's own action writes them."""
    from rules_bento.base.archives.archive import write_part

    found = []
    for index, model in enumerate(made.models):
        description, part = work / f"{index}.json", work / f"{index}.part"
        description.write_text(model.entry.description.dumps(), "utf-8")
        write_part(part, model.members())
        found.append((description, part))
    return found


@pytest.mark.parametrize("as_file", [False, True])
def test_the_same_bytes_as_the_actions(directory, store, tmp_path, as_file):
    """Whether they have the options of the bentofile as attributes, or the file itself."""
    made = build_bentofile(build_ctx=directory, extra=ExtraOptions(store=store))
    options = {} if as_file else yaml.safe_load((directory / "bentofile.yaml").read_text())
    words = ["--options", json.dumps(options | {"service": "service:Iris"})]
    words += ["--bentofile", str(directory / "bentofile.yaml"), "bentofile.yaml"] if as_file else []
    work = tmp_path / "work"
    chosen = ["--service", "service:Iris", "--include", "*.py"]
    theirs = by_actions(work, directory, snapshot_words=chosen, package_words=words, made=made)
    assert (work / "tag").read_text().strip() == str(made.tag)
    assert (work / "digest").read_text().strip() == made.digest
    assert made.archive(tmp_path / "ours.bento").read_bytes() == theirs.read_bytes()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs an interpreter that supports the syntax")
def test_newer_syntax_is_rejected_as_by_the_actions(tmp_path):
    """Static analysis and the import have the same check, at the end."""
    text = "import bentoml\n\ntry:\n    pass\nexcept* ValueError:\n    pass\n\n@bentoml.service\nclass Svc:\n    pass\n"
    files = {"service.py": text, "bentofile.yaml": "service: service:Svc\ndocker: {python_version: '3.10'}\n"}
    directory = write_project(tmp_path / "svc", {"files": files}, "")
    message = r"service.py:3: the Bento's Python 3.10 doesn't support this line \(`except\*` requires Python 3.11\)"
    with pytest.raises(BentoError, match=message):
        build_bentofile(build_ctx=directory)
    with pytest.raises(BentoError, match=message):
        by_actions(tmp_path / "work", directory, "--bentofile", str(directory / "bentofile.yaml"), "bentofile.yaml")


@pytest.mark.parametrize(
    ("options", "notes"),
    [
        ('include: ["./*.py", "./data/"]', ["include[0]: './*.py' matches no file in the project. Did you mean '*.py'?", "include[1]: './data/' matches no file in the project."]),
        ('include: [".\\\\service.py"]', ["include[0]: '.\\\\service.py' matches no file in the project. Did you mean 'service.py'?"]),
        ('exclude: ["*.py", "./secret.key"]', ["exclude[1]: './secret.key' matches no file in the project. Did you mean 'secret.key'?"]),
    ],
)  # fmt: skip
def test_errors_name_patterns_that_match_nothing(tmp_path, options, notes):
    files = {
        "service.py": "import bentoml\n",
        "secret.key": "x",
        "bentofile.yaml": f"service: service:Svc\n{options}\n",
    }
    directory = write_project(tmp_path / "svc", {"files": files}, "")
    with pytest.raises(BentoError) as raised:
        build_bentofile(build_ctx=directory)
    first, *others = str(raised.value).splitlines()
    assert first.startswith("service: the sources don't contain service.py, which `service:Svc` requires. The sources")
    assert [line.strip() for line in others] == [f"{directory}/bentofile.yaml:2: {note}" for note in notes]


NAMING = {
    "bentofile.yaml": """\
service: service:Svc
include: ["*.py"]
description: "file: docs/D.md"
docker: {setup_script: s.sh, env: vars.env}
python: {requirements_txt: req.txt}
""",
    "docs/D.md": "# D\n",
    "more.txt": "attrs\n",
    "req.txt": "-r more.txt\nidna\n",
    "s.sh": "#!/bin/sh\n",
    "t.sh": "#!/bin/sh\necho t\n",
    "vars.env": "A=1\nB=$A\n",
    "unnamed.txt": "x\n",
    "service.py": """\
import bentoml


@bentoml.service(image=bentoml.images.Image().run_script("t.sh"))
class Svc:
    pass
""",
}


def test_files_that_options_name_travel_with_the_metadata(tmp_path):
    directory = write_project(tmp_path / "svc", {"files": NAMING}, "")
    made = build_bentofile(build_ctx=directory)
    work = tmp_path / "work"
    theirs = by_actions(work, directory, "--bentofile", str(directory / "bentofile.yaml"), "bentofile.yaml")
    unused = (work / "unused").read_text("utf-8")
    assert "unnamed.txt" in unused
    assert not any(name in unused for name in ("req.txt", "more.txt", "s.sh", "t.sh", "vars.env", "D.md", "bentofile"))
    assert made.archive(tmp_path / "ours.bento").read_bytes() == theirs.read_bytes()
    document = yaml.safe_load(made.bento.files["bento.yaml"])
    assert document["image"]["python_requirements"] == f"attrs\nidna\nbentoml=={BENTOML_VERSION}\n"
    assert [(env["name"], env["value"]) for env in document["envs"]] == [("A", "1"), ("B", "1")]
    assert made.bento.files["README.md"] == b"# D\n"
    assert len([path for path in made.bento.files if "script__" in path]) == 2


@pytest.mark.parametrize(
    "content",
    ["# é\r\n".encode("utf-16"), b"\xfe\xff\0#", "caf\xe9\r\n".encode("latin-1"), b"\0\xff", b"\xef\xbb\xbf# x\n", b""],
)
@pytest.mark.parametrize("path", ["README.md", "docs/D.md"])
def test_a_readme_is_copied_in_any_encoding(tmp_path, path, content):
    """As by BentoML, which copies the file."""
    files = {name: NAMING[name] for name in ("service.py", "t.sh")}
    described = "" if path == "README.md" else f'description: "file:{path}"\n'
    files["bentofile.yaml"] = f"service: service:Svc\ninclude: ['*.py']\n{described}"
    directory = write_project(tmp_path / "svc", {"files": files}, "")
    (directory / path).parent.mkdir(exist_ok=True)
    (directory / path).write_bytes(content)
    made = build_bentofile(build_ctx=directory)
    assert made.bento.files["README.md"] == content
    theirs = by_actions(
        tmp_path / "work", directory, "--bentofile", str(directory / "bentofile.yaml"), "bentofile.yaml"
    )
    assert made.archive(tmp_path / "ours.bento").read_bytes() == theirs.read_bytes()


NAMED_BY_OPTIONS = {
    "description": 'description: "file: notes"\n',
    "script": "docker: {setup_script: notes}\n",
    "template": "docker: {dockerfile_template: notes}\n",
    "requirements": "python: {requirements_txt: notes}\n",
    "conda": "conda: {environment_yml: notes}\n",
    "variables": "docker: {env: notes}\n",
    "readme": "",
}
LEAVING = {
    "absolute": lambda directory: (directory / "notes").symlink_to(directory.parent / "secret"),
    "relative": lambda directory: (directory / "notes").symlink_to("../secret"),
    "by another link": lambda directory: [(directory / "notes").symlink_to("sub/other"), (directory / "sub").mkdir(), (directory / "sub/other").symlink_to("../../secret")],
    "by a folder": lambda directory: [(directory / "up").symlink_to(".."), (directory / "notes").symlink_to("up/secret")],
}  # fmt: skip


def leaving_project(directory, option, leave):
    files = {"service.py": NAMING["service.py"].split("service(image")[0] + "service\nclass Svc:\n    pass\n"}
    files["bentofile.yaml"] = 'service: "service:Svc"\ninclude: ["service.py"]\n' + NAMED_BY_OPTIONS[option]
    directory = write_project(directory, {"files": files}, "")
    (directory.parent / "secret").write_text("a private key\n")
    LEAVING[leave](directory)
    if option == "readme":
        (directory / "notes").rename(directory / "README.md")
    return directory


@pytest.fixture
def elsewhere():
    """A folder outside of any execution root of Bazel's, into which links of an action may lead."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@pytest.mark.parametrize("option", NAMED_BY_OPTIONS)
@pytest.mark.parametrize("leave", LEAVING)
def test_an_option_cannot_name_what_is_outside(elsewhere, option, leave):
    """Though no pattern keeps the link, so that nothing else has looked at it."""
    directory = leaving_project(elsewhere / "svc", option, leave)
    with pytest.raises(BentoError, match="which is outside ") as caught:
        build_bentofile(build_ctx=directory)
    assert "private key" not in str(caught.value)
    work = elsewhere / "work"
    with pytest.raises(BentoError, match="which is absolute or outside the workspace"):
        by_actions(work, directory, "--bentofile", str(directory / "bentofile.yaml"), "bentofile.yaml")
    assert not any("private key" in path.read_text("utf-8", "replace") for path in work.iterdir())


def test_an_option_cannot_name_a_pipe(tmp_path):
    directory = leaving_project(tmp_path / "svc", "description", "relative")
    (directory / "notes").unlink()
    os.mkfifo(directory / "notes")
    with pytest.raises(BentoError, match="notes is a pipe, a socket, or a device"):
        build_bentofile(build_ctx=directory)


def test_only_what_is_named_travels(tmp_path):
    directory = write_project(tmp_path / "svc", {"files": NAMING}, "")
    declared = ProjectFiles(
        {str(path.relative_to(directory)): str(path) for path in directory.rglob("*") if path.is_file()}
    )
    info = read_service("service:Svc", {"service.py": NAMING["service.py"].encode()})
    found = named_files(info, read(directory / "bentofile.yaml", "b"), declared)
    assert list(found) == ["docs/D.md", "more.txt", "req.txt", "s.sh", "t.sh", "vars.env"]
    assert named_files(info, read(directory / "bentofile.yaml", "b"), ProjectFiles({})) == {}


def test_build_and_build_bentofile_agree(directory, store):
    options = yaml.safe_load((directory / "bentofile.yaml").read_text())
    one = build(build_ctx=directory, extra=ExtraOptions(store=store), **options)
    other = build_bentofile(build_ctx=directory, extra=ExtraOptions(store=store))
    assert one.tag == other.tag
    assert one.bento.files == other.bento.files


def test_the_archive_is_whole(directory, store, tmp_path):
    made = build_bentofile(build_ctx=directory, extra=ExtraOptions(store=store))
    with tarfile.open(made.archive(tmp_path / "a.bento"), "r:xz") as tar:
        members = {member.name.removeprefix("./"): member for member in tar}
    expected = {entry.path: entry.mode for entry in made.bento.manifest.entries}
    assert {path: members[path].mode for path in expected} == expected
    assert members["env/docker/entrypoint.sh"].mode == 0o755
    models = {path for path in members if path.startswith("models/")}
    assert models == {f"models/iris_clf/vxeawmxewcsowax4/{name}" for name in ("model.yaml", "saved_model.pkl")} | {
        "models/iris_clf/latest"
    }


def test_arguments_win_over_the_bentofile(directory, store):
    made = build_bentofile(
        build_ctx=directory,
        name="own",
        labels={"owner": "me"},
        args={"x": 1},
        version="v1",
        extra=ExtraOptions(store=store),
    )
    document = yaml.safe_load(made.bento.files["bento.yaml"])
    assert str(made.tag) == "own:v1"
    assert document["labels"] == {"owner": "me", "from": "svc"}
    assert document["args"] == {"x": 1}


def test_a_bentofile_elsewhere(directory, store, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text("service: service:Iris\nname: elsewhere\n")
    assert build_bentofile(other, build_ctx=directory, extra=ExtraOptions(store=store)).tag.name == "elsewhere"


def test_pyproject_with_a_src_directory(tmp_path):
    write_project(
        tmp_path,
        {
            "files": {
                "pyproject.toml": '[project]\nname = "Proj"\ndependencies = ["idna"]\n[tool.bentoml.build]\nservice = "pkg.svc:Svc"\n',
                "src/pkg/__init__.py": "",
                "src/pkg/svc.py": "import bentoml\n\n\n@bentoml.service\nclass Svc:\n    pass\n",
            }
        },
        "",
    )
    made = build_bentofile(build_ctx=tmp_path)
    paths = [entry.path for entry in made.bento.manifest.entries]
    assert made.tag.name == "proj"
    assert "src/pkg/svc.py" in paths
    assert b"service: pkg.svc:Svc" in made.bento.files["bento.yaml"]
    assert made.bento.files["env/python/requirements.txt"] == f"idna\nbentoml=={BENTOML_VERSION}\n".encode()


def test_models_by_label_and_alias(tmp_path, store):
    service = (
        "import bentoml\n\n\n@bentoml.service\nclass Svc:\n    ref = bentoml.models.BentoModel('iris_clf:latest')\n"
    )
    directory = write_project(tmp_path / "p", {}, service)

    def models(*choices):
        made = build(build_ctx=directory, models=choices, extra=ExtraOptions(store=store))
        return yaml.safe_load(made.bento.files["bento.yaml"])["models"], [
            model.entry.description.tag for model in made.models
        ]

    [entry], bundled = models({"tag": "iris_clf", "filter": "label:team=spec", "alias": "prod"})
    assert (entry["tag"], entry["alias"]) == ("iris_clf:vxeawmxewcsowax4", "prod")
    assert bundled == ["iris_clf:vxeawmxewcsowax4"]
    _, bundled = models("raw_model:v")
    assert bundled == ["raw_model:v1", "iris_clf:vxeawmxewcsowax4"]
    with pytest.raises(BentoError, match="the model 'iris_clf' with filter 'label:team=other'"):
        models({"tag": "iris_clf", "filter": "label:team=other"})
    with pytest.raises(BentoError, match=r"'label:spec' \(for a label with a value, write label:KEY=VALUE\), but"):
        models({"tag": "iris_clf", "filter": "label:spec"})
    with pytest.raises(BentoError, match="has the aliases 'a' and 'b'"):
        models({"tag": "iris_clf", "alias": "a"}, {"tag": "iris_clf", "alias": "b"})


SERVICE = "import bentoml\n\n\n@bentoml.service\nclass Svc:\n    pass\n"


LOADING = """\
import bentoml
{more}

@bentoml.service
class Svc:
    def __init__(self):
        self.model = {call}
"""


@pytest.mark.parametrize(
    ("more", "call"),
    [
        ("", "bentoml.xgboost.load_model('raw_model:latest')"),
        ("", "bentoml.pytorch.get('raw_model:v1')"),
        ("", "bentoml.xgboost.load_model('own')"),
        ("", "bentoml.xgboost.load_model(bento_model='raw_model')"),
        ("TAG = 'raw_model:latest'", "bentoml.xgboost.load_model(TAG)"),
        ("from bentoml import xgboost as x", "x.load_model('raw_model')"),
        ("import bentoml.xgboost as x", "x.load_model('raw_model')"),
        ("from bentoml.xgboost import load_model", "load_model('raw_model')"),
    ],
)
def test_a_model_without_a_module_that_a_framework_loads_is_rejected(tmp_path, store, more, call):
    """BentoML: "was saved with module , not loading with bentoml.xgboost", when the service starts."""
    choices = [{"tag": "raw_model", "alias": "own"}]
    directory = write_project(tmp_path / "p", {}, LOADING.format(more=more, call=call))
    message = re.escape("can't load raw_model:v1, because the model has no module. Set")
    with pytest.raises(BentoError, match=rf"^service\.py:7: bentoml\.\w+\.\w+ {message}"):
        build(build_ctx=directory, models=choices, extra=ExtraOptions(store=store))
    plain = write_project(tmp_path / "plain", {}, SERVICE)
    made = build(build_ctx=plain, models=choices, extra=ExtraOptions(store=store))
    with pytest.raises(BentoError, match=message):
        by_actions(tmp_path / "work", directory, "--options", json.dumps({"models": choices}), made=made)


@pytest.mark.parametrize(
    "call",
    [
        "bentoml.xgboost.load_model('iris_clf:latest')",  # of another module: dead code may be
        "bentoml.xgboost.get('raw_model:latest')",  # is bentoml.models.get
        "bentoml.models.get('raw_model:latest')",
        "bentoml.xgboost.load_model('other')",
        "bentoml.xgboost.load_model(Svc.TAG)",
        "other.xgboost.load_model('raw_model')",
        "'bentoml.xgboost.load_model(\\'raw_model\\')'",
    ],
)
def test_other_models_may_be_loaded(tmp_path, store, call):
    directory = write_project(tmp_path / "p", {}, LOADING.format(more="", call=call))
    made = build(build_ctx=directory, models=["raw_model", "iris_clf"], extra=ExtraOptions(store=store))
    assert len(made.models) == 2
    note = "service.py:7: bentoml.xgboost.load_model requires the model other, which the Bento doesn't contain. Add the model to models."
    assert [each for each in made.notes if "requires the model" in each] == ([note] if "other'" in call else [])


@pytest.mark.parametrize("options", [{}, {"description": "file: README.md"}])
def test_a_readme_keeps_its_bytes(tmp_path, options):
    """As BentoML copies it: line ends of Windows, a byte order mark, no line end at the end."""
    directory = write_project(tmp_path / "p", {}, SERVICE)
    content = b"\xef\xbb\xbf# Title\r\n\r\ntext\rmore\n\r\nend"
    (directory / "README.md").write_bytes(content)
    made = build(build_ctx=directory, extra=ExtraOptions(), **options)
    assert made.bento.files["README.md"] == content
    words = ["--options", json.dumps(options)] if options else []
    theirs = by_actions(tmp_path / "work", directory, *words)
    assert made.archive(tmp_path / "ours.bento").read_bytes() == theirs.read_bytes()


@pytest.fixture
def versions(store):
    """The store with versions of a model that begin alike; v2 is the newest, as in BentoML's `latest`."""
    old = (store / "raw_model/v1/model.yaml").read_text()
    for number, (version, year) in enumerate({"v10": 2031, "v2": 2032}.items()):
        new = store / "raw_model" / version
        new.mkdir()
        (new / "weights.bin").write_bytes(bytes([number]))
        text = re.sub("(?m)^version: .*", f"version: {version}", old)
        (new / "model.yaml").write_text(re.sub("(?m)^creation_time: .*", f"creation_time: {year}-01-01 00:00:00", text))
    return store


@pytest.mark.parametrize("alias", ["a", "raw_model", "raw_model:v10"])
def test_the_model_of_an_alias_is_served(tmp_path, versions, alias):
    service = SERVICE.replace("class Svc:\n", f"class Svc:\n    m = bentoml.models.get({alias!r})\n")
    directory = write_project(tmp_path / "p", {}, service)
    choices = [{"tag": "raw_model:v1", "alias": alias}, "raw_model:v10"]
    made = build(build_ctx=directory, models=choices, extra=ExtraOptions(store=versions))
    [row] = yaml.safe_load(made.bento.files["bento.yaml"])["services"]
    assert [model["tag"] for model in row["models"]] == ["raw_model:v1"]
    theirs = by_actions(tmp_path / "work", directory, "--options", json.dumps({"models": choices}), made=made)
    assert made.archive(tmp_path / "ours.bento").read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (["raw_model:latest", {"tag": "raw_model:v2", "alias": "a"}], "raw_model:v2 is listed twice, first without an alias"),
        ([{"tag": "raw_model:v1", "alias": "a"}, {"tag": "raw_model:v2", "alias": "a"}], "have the same alias 'a'"),
        ([{"tag": "raw_model:v1", "alias": ""}], "the alias is empty"),
    ],
)  # fmt: skip
def test_an_alias_that_bentoml_drops_is_rejected_by_command_and_rule(tmp_path, versions, choices, message):
    directory = write_project(tmp_path / "p", {}, SERVICE)
    with pytest.raises(BentoError, match=message):
        build(build_ctx=directory, models=choices, extra=ExtraOptions(store=versions))
    made = build(
        build_ctx=directory, models=["raw_model:v1", "raw_model:v2", "iris_clf"], extra=ExtraOptions(store=versions)
    )
    with pytest.raises(BentoError, match=message):
        by_actions(tmp_path / "work", directory, "--options", json.dumps({"models": choices}), made=made)


LOCK = LockedRequirements("bentoml[io]\nidna\n", (("bentoml==1.4.39", ("0",)), ("idna==3.20", ())))
OF_WHEELS = LockedRequirements(
    "acme-tools\n", (("bentoml==1.4.39", ()), ("./wheels/acme_tools-1.0-py3-none-any.whl", ()))
)


@pytest.mark.parametrize(
    ("options", "beside", "message"),
    [
        ({"service": "x:Y"}, ExtraOptions(), "don't contain x.py"),
        ({"exclude": ["*.py"]}, ExtraOptions(), "that include, exclude, and .bentoignore keep service.py"),
        ({"name": "U P"}, ExtraOptions(), "the name is invalid: 'u p'. Use at most 63"),
        ({"version": "latest"}, ExtraOptions(), "version: the version is 'latest'"),
        ({"description": "file: N.md"}, ExtraOptions(), "description: 'N.md' isn't a file in the build context"),
        ({"description": "file: ../N.md"}, ExtraOptions(), "description: '../N.md' is outside the build context"),
        ({"docker": {"setup_script": "servce.py"}}, ExtraOptions(), "Did you mean 'service.py'?"),
        ({"python": {"requirements_txt": "/etc/r.txt"}}, ExtraOptions(), "'/etc/r.txt' is outside the build context"),
        ({"python": {"packages": ["x @ git+https://g.example/x"]}}, ExtraOptions(), "an image build without network access can't clone"),
        ({"conda": {"pip": ["idna"]}}, ExtraOptions(spec=2), "spec 2 doesn't support conda"),
        ({"docker": {"python_version": "3.12"}}, ExtraOptions(lock=LOCK), "the lock is for Python 3.11"),
        ({"python": {"packages": ["acme"]}}, ExtraOptions(lock=OF_WHEELS), "the target's requirements attribute doesn't contain these packages: acme"),
        ({}, ExtraOptions(lock=LOCK, features=("grpc",)), "the lock contains bentoml without these extras: grpc. Add 'bentoml[grpc]'"),
        ({}, ExtraOptions(features=("grcp",)), "invalid value 'grcp'. Did you mean 'grpc'?"),
        ({}, ExtraOptions(requirements="idna==3 --hash=sha256:0\n"), "the requirements file with hashes doesn't contain bentoml"),
    ],
)  # fmt: skip
def test_invalid_input_is_rejected(tmp_path, options, beside, message):
    directory = write_project(tmp_path / "p", {}, "import bentoml\n\n\n@bentoml.service\nclass Svc:\n    pass\n")
    with pytest.raises(BentoError) as error:
        build(build_ctx=directory, extra=beside, **options)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("packages", "beside", "expected"),
    [
        ([], ExtraOptions(features=("grpc", "io")), "bentoml[grpc,io]==1.4.39\n"),
        (["bentoml[tracing]==1.4.38"], ExtraOptions(features=("io",)), "bentoml[io,tracing]==1.4.38\n"),
        (["idna"], ExtraOptions(requirements="attrs\n"), "idna\nattrs\nbentoml==1.4.39\n"),
        (["bentoml==1.4.*"], ExtraOptions(), "bentoml==1.4.*\n"),
        (["bentoml @ https://h.example/bentoml-1.zip"], ExtraOptions(), "bentoml @ https://h.example/bentoml-1.zip\n"),
        (["idna"], ExtraOptions(lock=LOCK, features=("io",)), "bentoml==1.4.39\nidna==3.20\n"),
        (["acme.tools==1.0"], ExtraOptions(lock=OF_WHEELS), OF_WHEELS.pinned),
        (["idna", "pywin32; sys_platform == 'win32'"], ExtraOptions(lock=LOCK), "bentoml==1.4.39\nidna==3.20\n"),
    ],
)
def test_requirements(tmp_path, packages, beside, expected):
    directory = write_project(tmp_path / "p", {}, "import bentoml\n\n\n@bentoml.service\nclass Svc:\n    pass\n")
    made = build(build_ctx=directory, python={"packages": packages}, extra=beside)
    assert made.bento.files["env/python/requirements.txt"].decode() == expected


@pytest.mark.parametrize("spec", [1, 2])
@pytest.mark.parametrize("no_index", [False, True])
def test_pages_of_packages_precede_the_requirements(tmp_path, spec, no_index):
    """Without indexes, an installer has to find all packages elsewhere, so the pages are omitted."""
    link = "--find-links https://cpu.example/whl/torch/\n"
    pins = "bentoml==1.4.39 \\\n    --hash=sha256:0\ntorch==2.1+cpu \\\n    --hash=sha256:1\n"
    lock = LockedRequirements("bentoml\ntorch\n", (("bentoml==1.4.39", ("0",)), ("torch==2.1+cpu", ("1",))), link)
    directory = write_project(tmp_path / "p", {}, "import bentoml\n\n\n@bentoml.service\nclass Svc:\n    pass\n")
    made = build(build_ctx=directory, python={"no_index": no_index}, extra=ExtraOptions(lock=lock, spec=spec))
    options = "--no-index\n" if no_index and spec == 2 else "" if no_index else link
    files = {path: text.decode() for path, text in made.bento.files.items() if path.startswith("env/python/req")}
    assert files["env/python/requirements.lock.txt"] == f"{options}{pins}"
    roots = files["env/python/requirements.txt" if spec == 1 else "env/python/requirements.in"]
    assert roots == f"{options}bentoml\ntorch\n"
    if spec == 2:
        assert files["env/python/requirements.txt"] == f"{options}bentoml==1.4.39\ntorch==2.1+cpu\n"


def test_a_comment_names_a_git_repository(tmp_path):
    directory = write_project(tmp_path / "p", {}, SERVICE)
    (directory / "requirements.txt").write_text("# or git+https://g.example/x\nidna\t# git+https://g.example/x\n")
    made = build(build_ctx=directory, python={"requirements_txt": "requirements.txt"})
    assert "idna" in made.bento.files["env/python/requirements.txt"].decode()


def test_an_image_may_clone_what_a_build_cannot_pack(tmp_path):
    line = "x @ git+https://g.example/x"
    image = f"bentoml.images.Image(pack_git_packages=False).python_packages({line!r})"
    source = f"import bentoml\n\n\n@bentoml.service(image={image})\nclass Svc:\n    pass\n"
    made = build(build_ctx=write_project(tmp_path / "p", {}, source))
    assert made.bento.files["env/python/requirements.txt"].decode().splitlines()[0] == line
    with pytest.raises(BentoError, match="can't clone"):
        build(build_ctx=tmp_path / "p", python={"pack_git_packages": True})


@pytest.mark.parametrize(
    "env",
    [
        {"name": "A\nRUN touch /x\nENV B"},
        {"name": "A", "value": "1\nRUN x"},
        {"name": "A", "value": "1\r2"},
        {"name": "A", "value": "\0"},
        {"name": "A=1"},
    ],
)
def test_envs_of_a_service_are_checked_like_envs_of_a_bentofile(tmp_path, env):
    source = f"import bentoml\n\n\n@bentoml.service(envs=[{env!r}])\nclass Svc:\n    pass\n"
    with pytest.raises(BentoError, match=r"^service\.py:5: envs of `Svc`: (invalid variable name|the value of A cont)"):
        build(build_ctx=write_project(tmp_path / "p", {}, source))


@pytest.mark.parametrize(
    ("saved", "options", "version", "reason"),
    [
        ("1.4.77", {}, "1.4.77", "the version that saved the model iris_clf:"),
        ("1.5.0rc1", {}, "1.5.0rc1", "the version that saved the model iris_clf:"),
        ("1.2.3", {}, BENTOML_VERSION, "the default"),
        ("1.9.0.dev3+g1234", {}, BENTOML_VERSION, "the default"),  # no index has it
        ("not a version", {}, BENTOML_VERSION, "the default"),
        ("1.4.77", {"python": {"packages": ["bentoml==1.4.30"]}}, "1.4.30", ""),
        ("1.4.77", {"python": {"packages": [f"bentoml=={BENTOML_VERSION}"]}}, BENTOML_VERSION, ""),
        ("1.4.77", {"python": {"packages": ["attrs"]}}, "1.4.77", "the version that saved the model iris_clf:"),
    ],
)
def test_the_version_of_bentoml(directory, store, saved, options, version, reason):
    """An older BentoML than the one that saved a model must not serve the model without a word."""
    for path in store.rglob("model.yaml"):
        path.write_text(re.sub("bentoml_version: .*", f"bentoml_version: {saved}", path.read_text()))
    (directory / "bentofile.yaml").write_text("service: service:Iris\n")
    extra = ExtraOptions(store=store, bentoml_version=None)
    made = build_bentofile(build_ctx=directory, extra=extra, **options)
    assert yaml.safe_load(made.bento.files["bento.yaml"])["bentoml_version"] == version
    assert f"bentoml=={version}\n" in made.bento.files["env/python/requirements.txt"].decode()
    notes = [note for note in made.notes if note.startswith(f"the Bento requires bentoml=={version}, {reason}")]
    assert len(notes) == bool(reason)
    made = build_bentofile(build_ctx=directory, extra=replace(extra, bentoml_version="1.4.31"), **options)
    assert not any("requires bentoml==" in note for note in made.notes)


def test_the_defaults_are_the_rules():
    constants = "".join(Path("private", name).read_text("utf-8") for name in ("metadata.bzl", "versions.bzl"))
    assert f'BENTOML_VERSION = "{BENTOML_VERSION}"' in constants
    assert f'PYTHON_VERSION = "{PYTHON_VERSION}"' in constants
    assert f'build_setting_default = "{CREATION_TIME}"' in Path("rules/BUILD.bazel").read_text("utf-8")


OF_A_MODEL = "import bentoml\n\n\n@bentoml.service{image}\nclass Svc:\n    model = bentoml.sklearn.get('iris_clf')\n"
NEEDED = "the Bento doesn't require scikit-learn, which saved the model iris_clf:vxeawmxewcsowax4. Add the package."


@pytest.mark.parametrize(
    ("options", "lock", "image", "expected"),
    [
        ({}, None, "", [NEEDED]),
        ({"packages": ["bentoml"]}, None, "", [NEEDED]),
        ({}, LOCK, "", [NEEDED]),
        ({"packages": ["Scikit_Learn>=1"]}, None, "", []),
        ({"packages": ["sentence-transformers"]}, None, "", []),  # which requires it
        ({}, None, "(image=bentoml.images.Image(base_image='registry.example/sklearn'))", []),
        ({}, None, "(image=bentoml.images.Image().run('pip install scikit-learn'))", []),
    ],
)
def test_a_note_names_the_framework_of_a_model(tmp_path, store, options, lock, image, expected):
    for path in store.iterdir():
        (path / "latest").write_text(next(path.iterdir()).name, "utf-8")
    project = write_project(tmp_path / "p", {}, OF_A_MODEL.format(image=image))
    extra = ExtraOptions(store=store, lock=lock)
    made = build(build_ctx=project, python={"lock_packages": False} | options, extra=extra)
    assert [note for note in made.notes if "which saved" in note] == expected


@pytest.mark.parametrize(
    ("dynamic", "requirements", "expected"),
    [
        ('["version", "dependencies"]', "", True),
        ('["dependencies"]', 'python.requirements_txt = "reqs.txt"', False),
        ('["version", "optional-dependencies"]', "", False),
    ],
)
def test_a_note_names_dynamic_dependencies(tmp_path, dynamic, requirements, expected):
    text = (
        f'[project]\nname = "svc"\ndynamic = {dynamic}\n[tool.bentoml.build]\nservice = "service:Svc"\n{requirements}\n'
    )
    service = "import bentoml\n\n\n@bentoml.service\nclass Svc: ...\n"
    files = {"files": {"pyproject.toml": text, "reqs.txt": "idna==3.10\n"}}
    notes = " ".join(build_bentofile(build_ctx=write_project(tmp_path / "p", files, service)).notes)
    assert ("pyproject.toml: project.dynamic: the Bento doesn't require dependencies" in notes) == expected
