"""Values of `bento image`: words of the command line and keys and values of the table mean what they say, or are errors.

No character in one part of a value moves the border to another part.
"""

import itertools
import json
import os
from pathlib import Path

import pytest
from bento_cli.sharing import extra_files
from bento_cli.sharing.image_options import read_options
from rules_bento.base.errors import BentoError
from rules_bento.images.layers.layer import write_files_layer
from rules_bento.images.layers.members import program_members

from tests.sharing.image_support import settings_of, table_of

SEPARATORS = ("=", ":", "@", ",", "\0", "\n", "..", "/../", "=/")
TEXTS = [form.format(each) for each in SEPARATORS for form in ("{}a", "a{}", "a{}b")]
COMMIT = "0123456789" * 4
SECRET = "TOPSECRET"


def write_table(project, **table):
    text = "\n".join(f"{key.replace('_', '-')} = {toml(value)}" for key, value in table.items())
    (project / "pyproject.toml").write_text(f"[tool.bento.image]\n{text}\n", "utf-8")


def toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


@pytest.fixture
def project(tmp_path):
    """A project in a home directory with a secret, at a path that the project can guess."""
    directory = tmp_path / "home/src/project"
    for each in ("a", *(name for name in TEXTS if not {"\0", "/"} & {*name})):
        (directory / each).mkdir(parents=True)
        (directory / each / "file").write_text("ours")
    (tmp_path / "home/secret").write_text(SECRET)
    (tmp_path / "home/login").mkdir()
    (tmp_path / "home/login/key").write_text(SECRET)
    return directory


def added(project, files):
    """The files that a table adds, by path, or the message."""
    write_table(project, files=files)
    try:
        return {file.path: file.source for file in extra_files.declared(settings_of(project)["file"])}
    except BentoError as error:
        assert str(error).startswith(f"{project}/pyproject.toml: tool.bento.image.files")
        return {}


@pytest.mark.parametrize("text", TEXTS)
def test_a_path_and_a_source_of_the_table(project, text):
    found = added(project, {f"/srv/{text}": "a"})
    assert found in ({}, {f"/srv/{text.rstrip('/')}/file": str(project / "a/file")})
    assert bool(found) == all(each not in f"/{text}/" for each in ("\0", "\n", "/../", "/./"))
    found = added(project, {"/srv/x": text})
    real = os.path.realpath(project / text) if "\0" not in text else ""
    assert found in ({}, {"/srv/x/file": f"{real}/file"}) or real == str(project)
    assert all(source.startswith(f"{project}/") for source in found.values())
    assert bool(found) == ("\0" not in text and Path(real).exists() and real.startswith(str(project)))


@pytest.mark.parametrize("one", SEPARATORS)
@pytest.mark.parametrize("other", ["/../../../", "/..//../../", "../../", "/"])
def test_no_path_in_the_image_continues_a_source(project, one, other):
    for target, name in itertools.product(("secret", "login"), ("a", f"a{one}", one, "")):
        with_name = project / name
        if not {"\0", "/"} & {*name}:
            with_name.mkdir(exist_ok=True)
        for key in (f"{other}{target}{one}/opt/x", f"/opt/x{one}{other}{target}", f"{one}{other}{target}"):
            found = added(project, {key: name})
            assert not [source for source in found.values() if not source.startswith(f"{project}/")]


@pytest.mark.parametrize("text", TEXTS)
def test_other_keys_of_the_table(project, text):
    """Each is as it was written, or an error that names the key."""
    cases = [
        ("env", {text: "x"}, "env", lambda each: each.name == text and each.value == "x"),
        ("env", {"A": text}, "env", lambda each: each.name == "A" and each.value == text),
        ("apt", [text], "apt", lambda each: each == text),
        ("writable", [f"/srv/{text}"], "writable", lambda each: each.path == f"/srv/{text}"),
        ("base", text, "base", lambda each: each == text),
    ]
    hub = (f"{text}/a@{COMMIT}", f"a/{text}@{COMMIT}", f"a/a@{COMMIT}{text}", f"{text}a/a@{COMMIT}")
    cases += [("hugging_face", [word], "hugging-face", lambda each, word=word: joined(each) == word) for word in hub]
    for key, value, option, is_kept in cases:
        write_table(project, **{key: value})
        try:
            [found] = settings_of(project)[option]
        except BentoError as error:
            assert str(error).startswith(f"{project}/pyproject.toml: tool.bento.image.{option}: expected ")
            continue
        assert is_kept(found), (key, value, found)
        assert "\0" not in str(tuple(found)).replace("\\x00", "\0")
    write_table(project, entrypoint=f"python {text}")
    assert table_of(project).entrypoint == f"python {text}"


def joined(model):
    """The only word of a model. No part contains a separator."""
    parts = (model.model, *model.repository.split("/"), model.commit)
    assert len(parts) == 4 and not any({"=", "@", "/", "\0", "\n"} & {*each} for each in parts[1:])
    assert ".." not in model.repository and "=" not in model.model
    return f"{model.model}={model.repository}@{model.commit}" if model.model else f"{model.repository}@{model.commit}"


WORDS = {
    "file": ("{}=/srv/x", "a=/srv/{}", "a=/{}/x"),
    "env": ("{}=x", "A={}"),
    "start-env": ("{}=x", "A={}"),
    "label": ("{}=x", "a={}"),
    "exclude": ("{}:x", "a:{}"),
    "replace": ("/srv/{}", "{}"),
    "writable": ("/srv/{}", "{}"),
    "hugging-face": ("{}/a@" + COMMIT, "a/{}@" + COMMIT, "a/a@{}" + COMMIT, "{}=a/a@" + COMMIT),
}


@pytest.mark.parametrize("option", WORDS)
def test_words_of_the_command_line(option):
    """The parts of a value are its word, and none contains the separator, except for values after the first one."""
    accepted = 0
    for text, form in itertools.product(TEXTS, WORDS[option]):
        word = form.format(text)
        start = {"start": [""], "platform": [f"linux/{'amd64' if os.uname().machine == 'x86_64' else 'arm64'}"]}
        try:
            [found] = read_options({**start, option: [word]}, (), is_delivered=False)[option]
        except BentoError as error:
            assert str(error).startswith(f"--{option}: expected ")
            continue
        accepted += 1
        assert "\0" not in word
        if option == "file":
            assert (f"{found.source}={found.path}", found.top) == (word, "") and "=" not in found.path
        elif option == "hugging-face":
            assert joined(found) == word
        elif option in ("replace", "writable"):
            assert found.path == word
        else:
            separator = ":" if option == "exclude" else "="
            assert f"{found.name}{separator}{found.value}" == word and separator not in found.name
        if option in ("file", "replace", "writable"):
            assert found.path.startswith("/") and "/../" not in f"{found.path}/" and "\n" not in found.path
    assert accepted


def test_the_user_s_value_wins_for_the_same_subject(project):
    write_table(
        project,
        apt=["vim=1", "ed"],
        env={"A": "table", "B": "b=c"},
        files={"/srv/a=b": "a", "/srv/b": "a"},
        writable=["/srv/c=1", "/srv/c=2"],
        hugging_face=[f"a/a@{COMMIT}", f"a/b@{COMMIT}"],
        base="registry.test/table",
    )
    options = {
        "apt": ["vim"],
        "env": ["A=user"],
        "file": [f"{project}/a/file=/srv/b"],
        "writable": ["/srv/c=1"],
        "hugging-face": [f"a/b@{COMMIT[::-1]}"],
        "base": ["registry.test/user"],
    }
    found = settings_of(project, options)
    assert found["apt"] == ["ed", "vim"]
    assert [each[:2] for each in found["env"]] == [("B", "b=c"), ("A", "user")]
    assert [(each.path, each.top) for each in found["file"]] == [("/srv/a=b", str(project)), ("/srv/b", "")]
    assert [each.path for each in found["writable"]] == ["/srv/c=2", "/srv/c=1"]
    assert [each.commit for each in found["hugging-face"]] == [COMMIT, COMMIT[::-1]]
    assert found["base"] == ["registry.test/user"]


def test_a_project_below_a_directory_of_git(tmp_path):
    """Only the project's own `.git` can contain its logins."""
    project = tmp_path / ".git/worktrees/project"
    (project / ".git").mkdir(parents=True)
    for name in ("file", ".git/config"):
        (project / name).touch()
    assert added(project, {"/srv/x": "file"}) == {"/srv/x": str(project / "file")}
    assert added(project, {"/srv/x": ".git/config"}) == {}


@pytest.mark.parametrize("swapped", ["conf/deep/file", "conf/deep", "conf"])
@pytest.mark.parametrize("moment", ["before its digest", "before its layer"])
def test_a_file_that_becomes_a_link_is_not_followed(project, tmp_path, swapped, moment):
    """A file is read as it was checked, also if another process changes the project."""
    (project / "conf/deep").mkdir(parents=True)
    (project / "conf/deep/file").write_text("x" * len(SECRET))
    outside = tmp_path / "home" / swapped
    outside.parent.mkdir(parents=True, exist_ok=True)
    if swapped.endswith("file"):
        outside.write_text(SECRET)
    else:
        below = outside / "conf/deep/file".removeprefix(swapped + "/")
        below.parent.mkdir(parents=True)
        below.write_text(SECRET)

    def swap():
        (project / swapped).rename(project / "before")
        (project / swapped).symlink_to(outside)
        assert (project / "conf/deep/file").read_text() == SECRET

    write_table(project, files={"/srv": "conf"})
    files = extra_files.declared(settings_of(project)["file"])
    assert [file.path for file in files] == ["/srv/deep/file"]
    if moment == "before its digest":
        swap()
        with pytest.raises(OSError, match="symbolic links|Not a directory"):
            extra_files.check_secrets(files, (), ())
        with pytest.raises(BentoError, match="can't be read"):
            program_members(files, "")
        return
    _, members = program_members(files, "")
    swap()
    with pytest.raises(OSError, match="symbolic links|Not a directory"):
        write_files_layer(tmp_path / "layer", members, "none")
    assert not (tmp_path / "layer").exists()
