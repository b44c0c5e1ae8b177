"""Credentials from files and real helper programs, and what is never shown of them."""

import base64
import json
import os
import stat
import sys
import traceback

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.images.registry import auth
from rules_bento.images.registry.auth import Credentials
from rules_bento.images.registry.reference import Reference

REFERENCE = Reference.parse("registry.test:5000/team/app")
SECRET = "gr34t-s3cret"

# A shell starts it, for below a long path Linux takes no interpreter in the first line (it reads 256 bytes).
HELPER = f"""#!/bin/sh
'''exec' '{sys.executable}' "$0" "$@"
' '''
import json, os, sys
key = sys.stdin.read()
known = json.loads(os.environ["KNOWN"])
assert sys.argv[1:] == ["get"], sys.argv
if key == "broken":
    sys.exit("broken {SECRET}")
if key not in known:
    print("credentials not found in native keychain")
    sys.exit(1)
answer = known[key]
print(answer if isinstance(answer, str) else json.dumps({{"ServerURL": key, "Username": answer[0], "Secret": answer[1]}}))
"""


def encoded(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


@pytest.fixture
def docker(home):
    """Writes docker's config.json."""

    def write(document: object) -> None:
        (home / ".docker").mkdir(exist_ok=True)
        text = document if isinstance(document, str) else json.dumps(document)
        (home / ".docker/config.json").write_text(text)

    return write


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """Makes a credential helper that knows some servers."""

    def make(name: str, known: dict[str, object]) -> None:
        directory = tmp_path / "helpers"
        directory.mkdir(exist_ok=True)
        program = directory / f"docker-credential-{name}"
        program.write_text(HELPER)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
        monkeypatch.setenv("KNOWN", json.dumps(known))

    return make


def test_docker_hub_has_a_key_of_its_own(docker):
    docker({"auths": {"https://index.docker.io/v1/": {"auth": encoded("me", SECRET)}}})
    assert auth.find_credentials(Reference.parse("alpine")) == Credentials("me", SECRET)


def test_tokens_of_a_login_are_read(docker):
    docker({"auths": {"registry.test:5000": {"auth": encoded("", ""), "identitytoken": "i", "registrytoken": "r"}}})
    assert auth.find_credentials(REFERENCE) == Credentials(identity_token="i", registry_token="r")


def test_docker_config_names_another_directory(home, monkeypatch, docker):
    docker({"auths": {"registry.test:5000": {"auth": encoded("wrong", "wrong")}}})
    (home / "elsewhere").mkdir()
    text = json.dumps({"auths": {"registry.test:5000": {"auth": encoded("right", SECRET)}}})
    (home / "elsewhere/config.json").write_text(text)
    monkeypatch.setenv("DOCKER_CONFIG", str(home / "elsewhere"))
    assert auth.find_credentials(REFERENCE) == Credentials("right", SECRET)


def test_podmans_file_knows_repositories_the_longest_first(home, monkeypatch):
    auths = {
        "registry.test:5000": {"auth": encoded("host", "1")},
        "registry.test:5000/team": {"auth": encoded("team", "2")},
        "registry.test:5000/team/app": {"auth": encoded("app", "3")},
    }
    (home / "auth.json").write_text(json.dumps({"auths": auths}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(home / "auth.json"))
    assert auth.find_credentials(REFERENCE) == Credentials("app", "3")
    assert auth.find_credentials(Reference.parse("registry.test:5000/team/other")) == Credentials("team", "2")
    assert auth.find_credentials(Reference.parse("registry.test:5000/teams")) == Credentials("host", "1")


def test_a_helper_for_a_host_comes_before_the_store_and_the_file(docker, helper):
    helper("mine", {"registry.test:5000": ["me", SECRET]})
    auths = {"registry.test:5000": {"auth": encoded("file", "file")}}
    docker({"credHelpers": {"registry.test:5000": "mine"}, "credsStore": "missing", "auths": auths})
    assert auth.find_credentials(REFERENCE) == Credentials("me", SECRET)


def test_the_store_is_asked_and_may_know_nothing(docker, helper):
    helper("store", {"https://index.docker.io/v1/": ["hub", SECRET]})
    docker({"credsStore": "store", "auths": {"registry.test:5000": {"auth": encoded("file", "1")}}})
    assert auth.find_credentials(Reference.parse("alpine")) == Credentials("hub", SECRET)
    assert auth.find_credentials(REFERENCE) == Credentials("file", "1")


def test_a_helper_may_answer_with_an_identity_token(docker, helper):
    helper("mine", {"registry.test:5000": ["<token>", SECRET]})
    docker({"credHelpers": {"registry.test:5000": "mine"}})
    assert auth.find_credentials(REFERENCE) == Credentials(identity_token=SECRET)


def test_a_missing_helper_is_named(docker):
    docker({"credHelpers": {"registry.test:5000": "not-there"}})
    with pytest.raises(BentoError, match="docker-credential-not-there for .* isn't on PATH"):
        auth.find_credentials(REFERENCE)


@pytest.mark.parametrize("name", ["mine", "a\0b", "\ud800", "../mine", "/bin/mine", "", "x" * 5000])
def test_a_helper_is_a_plain_name_on_an_absolute_path(docker, helper, tmp_path, monkeypatch, name):
    helper("mine", {"registry.test:5000": ["ME", SECRET]})
    docker({"credsStore": name, "auths": {}})
    monkeypatch.chdir(tmp_path / "helpers")
    monkeypatch.setenv("PATH", f".{os.pathsep}")
    if name:
        with pytest.raises(BentoError, match="isn't on PATH|not JSON"):
            auth.find_credentials(REFERENCE)
    else:
        assert auth.find_credentials(REFERENCE) is None


def test_what_a_broken_helper_prints_is_not_shown(docker, helper):
    helper("mine", {"registry.test:5000": f"not json {SECRET}"})
    docker({"credHelpers": {"registry.test:5000": "mine", "broken": "mine"}})
    with pytest.raises(BentoError, match="isn't a JSON object") as caught:
        auth.find_credentials(REFERENCE)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_helper_that_fails_says_how_to_look(docker, helper, tmp_path):
    helper("mine", {})
    program = tmp_path / "helpers/docker-credential-mine"
    program.write_text(f"#!/bin/sh\necho {SECRET}\necho {SECRET} >&2\nexit 3\n")
    docker({"credsStore": "mine"})
    with pytest.raises(BentoError, match=r"exit code 3.*docker-credential-mine get") as caught:
        auth.find_credentials(REFERENCE)
    assert SECRET not in str(caught.value)


def test_netrc_is_the_last_resort(home, docker):
    (home / ".netrc").write_text(f"machine registry.test login me password {SECRET}\n")
    (home / ".netrc").chmod(0o600)
    assert auth.find_credentials(REFERENCE) == Credentials("me", SECRET)
    docker({"auths": {"registry.test:5000": {"auth": encoded("docker", "1")}}})
    assert auth.find_credentials(REFERENCE) == Credentials("docker", "1")


def test_netrc_names_hosts_without_brackets_and_may_have_a_default(home):
    (home / ".netrc").write_text(f"machine ::1 login six password {SECRET}\ndefault login me password {SECRET}\n")
    (home / ".netrc").chmod(0o600)
    assert auth.find_credentials(Reference.parse("[::1]:5000/a")) == Credentials("six", SECRET)
    assert auth.find_credentials(REFERENCE) == Credentials("me", SECRET)
    (home / ".netrc").write_text(f"machine registry.test login me passwort {SECRET}\n")
    with pytest.raises(BentoError, match=r"\.netrc:1: invalid entry") as caught:
        auth.find_credentials(REFERENCE)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", ["{", '{"auths": {"registry.test:5000": {"auth": "!!!"}}}'])
def test_an_invalid_credentials_file_is_reported_by_name(docker, text):
    docker(text)
    with pytest.raises(BentoError, match=r"\.docker/config\.json"):
        auth.find_credentials(REFERENCE)


def test_the_representation_of_credentials_contains_no_secret():
    shown = repr(Credentials("name", SECRET, SECRET, SECRET))
    assert SECRET not in shown
    assert "name" not in shown
