"""`bento login` and `bento logout`: docker's configuration file, credential helpers, and real registries."""

import io
import json
import os
import sys
import threading
from base64 import b64decode, b64encode
from contextlib import ExitStack

import pytest
from bento_cli.cli import main
from bento_cli.sharing.registry.logins import log_out
from rules_bento.images.registry import auth
from rules_bento.images.registry.reference import Reference

from tests.helpers.loopback import Handler, running
from tests.helpers.store_support import forked, in_children
from tests.registry import servers


@pytest.fixture(scope="module")
def registry(registry_binary, tmp_path_factory):
    with servers.serve(registry_binary, tmp_path_factory.mktemp("htpasswd"), htpasswd=True) as running:
        yield running


@pytest.fixture
def bento(capsys, monkeypatch):
    def run(*words, password="", code=0):
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{password}\n"))
        found = main([str(word) for word in words])
        out, run.err = capsys.readouterr()
        assert found == code, (out, run.err)
        return out

    return run


def helper(directory, monkeypatch):
    """A credential helper that keeps logins in files. Its name is `test`."""
    program, code = directory / "docker-credential-test", directory / "helper.py"
    # A shell starts Python, because Linux limits the first line of a script to 255 characters.
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{code}' \"$@\"\n")
    code.write_text(
        f"import json, pathlib, sys\nfile = pathlib.Path({str(directory / 'kept.json')!r})\n"
        "kept = json.loads(file.read_text()) if file.exists() else {}\ntext = sys.stdin.read()\n"
        "if sys.argv[1] == 'get':\n    if text not in kept:\n        sys.exit('credentials not found in native keychain')\n"
        "    print(json.dumps(kept[text]))\n"
        "if sys.argv[1] == 'store':\n    login = json.loads(text)\n    kept[login['ServerURL']] = login\n"
        "if sys.argv[1] == 'erase':\n    kept.pop(text, None)\nfile.write_text(json.dumps(kept))\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    return directory / "kept.json"


def test_login_writes_the_file_of_docker_and_logout_removes_the_entry(registry, home, bento):
    file = home / ".docker/config.json"
    file.parent.mkdir()
    other = {"auths": {"other.example": {"auth": "eDp5"}, f"https://{registry.host}/v2/": {}}, "psFormat": "x"}
    file.write_text(json.dumps(other))
    out = bento("login", registry.host, "-u", servers.USER, "--password-stdin", password=servers.PASSWORD)
    assert out == f"Logged in to {registry.host} as {servers.USER}.\n"
    assert f"note: The password isn't encrypted in {file}." in bento.err
    assert servers.PASSWORD not in bento.err
    assert file.stat().st_mode & 0o777 == 0o600
    assert [*home.glob(".docker/*")] == [file]
    document = json.loads(file.read_text())
    assert document.keys() == {"auths", "psFormat"}
    assert document["auths"].keys() == {"other.example", registry.host}
    found = auth.find_credentials(Reference.parse(f"{registry.host}/team/app"))
    assert found == auth.Credentials(servers.USER, servers.PASSWORD)
    assert bento("logout", registry.host) == f"Logged out of {registry.host}.\n"
    assert json.loads(file.read_text())["auths"].keys() == {"other.example"}
    assert bento("logout", registry.host) == f"No login is stored for {registry.host}.\n"


def test_a_wrong_password_restores_the_login(registry, home, bento):
    bento("login", registry.host, "-u", servers.USER, "--password-stdin", password=servers.PASSWORD)
    before = (home / ".docker/config.json").read_text()
    bento("login", registry.host, "-u", servers.USER, "--password-stdin", password="wr0ng", code=1)
    problem = "incorrect user name or password. Correct both, or use an access token."
    assert bento.err == f"bento: {registry.host}: {problem}\n"
    assert json.loads((home / ".docker/config.json").read_text()) == json.loads(before)


def test_login_uses_a_credential_helper(registry, home, bento, tmp_path, monkeypatch):
    kept = helper(tmp_path, monkeypatch)
    (home / ".docker").mkdir()
    (home / ".docker/config.json").write_text('{"credsStore": "test"}')
    bento("login", registry.host, "-u", servers.USER, "--password-stdin", password="wr0ng", code=1)
    assert not kept.exists()
    bento("login", registry.host, "-u", servers.USER, "--password-stdin", password=servers.PASSWORD)
    assert bento.err == ""
    assert json.loads(kept.read_text())[registry.host]["Secret"] == servers.PASSWORD
    assert json.loads((home / ".docker/config.json").read_text()) == {"credsStore": "test"}
    bento("logout", registry.host)
    assert json.loads(kept.read_text()) == {}
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    bento("login", registry.host, "-u", servers.USER, "--password-stdin", password=servers.PASSWORD, code=1)
    assert f"the credential helper docker-credential-test for {registry.host} isn't on PATH" in bento.err
    assert servers.PASSWORD not in bento.err


def test_a_login_with_tokens(registry_binary, home, bento, tmp_path):
    if not servers.has_openssl():
        pytest.skip("no openssl is here, which signs the tokens")
    tokens = servers.TokenServer(tmp_path / "tokens")
    with (
        tokens.serve() as realm,
        servers.serve(registry_binary, tmp_path / "r", token=tokens.settings(realm)) as running,
    ):
        bento("login", running.host, "-u", servers.USER, "--password-stdin", password=servers.PASSWORD)
        bento("login", running.host, "-u", servers.USER, "--password-stdin", password="wr0ng", code=1)
        assert bento.err.startswith(f"bento: {running.host}: incorrect user name or password.")


class _Basic(Handler):
    """A registry whose password is `right`. An answer to the user `slow` waits for an event."""

    free = threading.Event()

    def do_GET(self):
        login = b64decode(self.headers.get("Authorization", "").partition(" ")[2]).decode()
        if login.startswith("slow:"):
            self.free.wait(60)
        if login.startswith("down:"):
            self.send(403, b'{"errors": [{"message": "no access"}]}')
        else:
            status = 200 if login.endswith(":right") else 401
            self.send(status, b"", {"WWW-Authenticate": 'Basic realm="x"'})


def login(host, user="me", password="right"):
    def work():
        sys.stdin = io.StringIO(f"{password}\n")
        assert main(["login", host, "-u", user, "--password-stdin"]) == 0

    return work


@pytest.mark.parametrize("is_link", [False, True])
def test_logins_at_the_same_time_are_all_kept(home, is_link):
    file = home / ".docker/config.json"
    if is_link:
        file.parent.mkdir()
        file.symlink_to("../elsewhere/docker.json")
    with ExitStack() as stack:
        hosts = [stack.enter_context(running(_Basic)).host for _ in range(12)]
        assert all(in_children(*map(login, hosts)))
        assert json.loads(file.read_text())["auths"].keys() == {*hosts}
        assert all(in_children(*[lambda host=host: log_out(host) or os._exit(1) for host in hosts[:11]]))
    assert json.loads(file.read_text())["auths"].keys() == {hosts[11]}
    assert file.is_symlink() == is_link


def test_a_failed_login_changes_nothing(home, bento):
    file = home / ".docker/config.json"
    with running(_Basic) as slow, running(_Basic) as other:
        child = forked(login(slow.host, "slow", "wrong"))
        login(other.host)()
        before = file.read_bytes()
        _Basic.free.set()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        assert file.read_bytes() == before
        bento("login", other.host, "-u", "me", "--password-stdin", password="wrong", code=1)
        assert file.read_bytes() == before
        bento("login", other.host, "-u", "down", "--password-stdin", password="x", code=1)
        assert bento.err.startswith(f"bento: {other.host}: the registry returned 403 (no access).")
    assert json.loads(before)["auths"].keys() == {other.host}


def test_a_login_asks_the_registry_and_not_the_stored_login(home, bento):
    """A stored login, or one of netrc, isn't what the user typed."""
    (home / ".docker").mkdir()
    with running(_Basic) as server:
        entry = {"auth": b64encode(b"me:right").decode()}
        (home / ".docker/config.json").write_text(json.dumps({"auths": {server.host: entry}}))
        bento("login", server.host, "-u", "me", "--password-stdin", password="wrong", code=1)
        bento("login", server.host, "-u", "you", "--password-stdin", password="right")
    assert (
        "you:right"
        in b64decode(json.loads((home / ".docker/config.json").read_text())["auths"][server.host]["auth"]).decode()
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["localhost:1/x", "-u", "me", "--password-stdin"], "isn't the host of a registry. Use a host"),
        (["localhost:1", "--password-stdin"], "--password-stdin requires --username. Add --username NAME."),
        (["localhost:1", "-u", "me"], "the command can't prompt for a password. Add --password-stdin, and pipe the"),
        (["localhost:1", "-u", "a:b", "--password-stdin"], "the user name contains a colon"),
    ],
)
def test_logins_that_are_rejected(home, bento, words, message):
    bento("login", *words, password="x", code=1)
    assert message in bento.err
    assert not (home / ".docker").exists()
