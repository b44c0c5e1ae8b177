"""Registries that want to see something: passwords, tokens of a token server, identity tokens."""

import base64
import json

import pytest
from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.images.registry.auth import Challenge
from rules_bento.images.registry.client import Registries
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.pull_from_registry import pull
from rules_bento.images.registry.push_to_registry import push
from rules_bento.images.registry.reference import Reference

from tests.registry import servers
from tests.registry.images import make_image
from tests.registry.relay import Cut, Relay


def log_in(home, host: str, password: str = servers.PASSWORD, **others: str) -> None:
    entry = {"auth": base64.b64encode(f"{servers.USER}:{password}".encode()).decode()} if password else {}
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker/config.json").write_text(json.dumps({"auths": {host: {**entry, **others}}}))


@pytest.fixture(scope="module")
def with_passwords(registry_binary, tmp_path_factory):
    with servers.serve(registry_binary, tmp_path_factory.mktemp("htpasswd"), htpasswd=True) as running:
        yield running


@pytest.fixture
def with_tokens(registry_binary, tmp_path):
    if not servers.has_openssl():
        pytest.skip("no openssl is here, which signs the tokens")
    tokens = servers.TokenServer(tmp_path / "tokens")
    with (
        tokens.serve() as realm,
        servers.serve(registry_binary, tmp_path / "r", token=tokens.settings(realm)) as running,
    ):
        yield running, tokens


def test_without_a_password_the_error_says_how_to_log_in(with_passwords, registries, progress, tmp_path):
    reference = Reference.parse(f"{with_passwords.host}/team/app:v1")
    with pytest.raises(BentoError, match=rf"returned 401.*docker login {with_passwords.host}"):
        push(make_image(tmp_path), [reference], registries, progress)


def test_a_wrong_password_is_tried_once_and_not_shown(with_passwords, home, registries, progress, tmp_path):
    log_in(home, with_passwords.host, "wr0ng-p4ss")
    with Relay(with_passwords.port) as relay:
        log_in(home, relay.host, "wr0ng-p4ss")
        reference = Reference.parse(f"{relay.host}/team/app:v1")
        with pytest.raises(BentoError, match="returned 401") as caught:
            push(make_image(tmp_path, [10]), [reference], registries, progress, jobs=1)
    assert "wr0ng" not in str(caught.value)
    asked = [line for line in relay.requests if "team/app" in line]
    assert max(asked.count(line) for line in asked) == 2  # without, and with it


def test_a_token_is_requested_once_for_each_scope(with_tokens, home, registries, progress, tmp_path):
    server, tokens = with_tokens
    log_in(home, server.host)
    reference = Reference.parse(f"{server.host}/team/app:v1")
    push(make_image(tmp_path / "image"), [reference], registries, progress)
    assert [(method, fields["scope"], shown) for method, fields, shown in tokens.asked] == [
        ("GET", ["repository:team/app:pull,push"], True)
    ]
    assert tokens.asked[0][1]["service"] == ["registry.tests"]
    pull([reference], Layout.create(tmp_path / "layout"), registries, progress)
    assert [fields["scope"] for _, fields, _ in tokens.asked[1:]] == [["repository:team/app:pull"]]


def test_anonymous_tokens_pull(with_tokens, home, registries, progress, tmp_path):
    server, tokens = with_tokens
    log_in(home, server.host)
    reference = Reference.parse(f"{server.host}/team/app:v1")
    push(make_image(tmp_path / "image"), [reference], registries, progress)
    (home / ".docker/config.json").unlink()
    with Registries() as others:
        pull([reference], Layout.create(tmp_path / "layout"), others, progress)
        with pytest.raises(BentoError, match="returned 401"):
            push(make_image(tmp_path / "other", seed=9), [reference], others, progress)
    assert not tokens.asked[-1][2]


def test_an_identity_token_is_exchanged(with_tokens, home, registries, progress, tmp_path):
    server, tokens = with_tokens
    log_in(home, server.host, "", identitytoken=tokens.REFRESH)
    push(make_image(tmp_path / "image"), [Reference.parse(f"{server.host}/team/app:v1")], registries, progress)
    [(method, fields, _)] = tokens.asked
    assert method == "POST"
    assert fields["grant_type"] == ["refresh_token"]
    assert fields["scope"] == ["repository:team/app:pull,push"]


def test_a_mount_asks_for_both_repositories(with_tokens, home, registries, progress, tmp_path):
    server, tokens = with_tokens
    log_in(home, server.host)
    source = Reference.parse(f"{server.host}/team/app:v1")
    image = make_image(tmp_path / "image")
    push(image, [source], registries, progress)
    image = replace(image, mount_from=[source.name])
    [mounted] = push(image, [Reference.parse(f"{server.host}/team/other:v1")], registries, progress)
    assert (mounted.sent, mounted.mounted) == (0, 4)
    scopes = [sorted(fields["scope"]) for _, fields, _ in tokens.asked]
    assert ["repository:team/app:pull", "repository:team/other:pull,push"] in scopes


@pytest.mark.parametrize("challenges", [100, 1])
def test_a_token_that_has_ended_is_fetched_again(
    with_tokens, home, registries, progress, tmp_path, monkeypatch, challenges
):
    server, tokens = with_tokens
    given = [Challenge.parse] * challenges  # zot sends no challenge with the rejection of a token
    monkeypatch.setattr(Challenge, "parse", lambda headers: given.pop()(headers) if given else None)
    tokens.lifetime = -3600  # docker-registry lets a minute pass
    log_in(home, server.host)
    reference = Reference.parse(f"{server.host}/team/app:v1")
    with pytest.raises(BentoError, match="returned 401"):
        push(make_image(tmp_path, [10]), [reference], registries, progress, jobs=1)
    tokens.lifetime = 300
    push(make_image(tmp_path, [10]), [reference], registries, progress)


def test_a_token_server_that_is_busy_or_cut_off_is_retried(registry_binary, home, registries, progress, tmp_path):
    if not servers.has_openssl():
        pytest.skip("no openssl is here, which signs the tokens")
    tokens = servers.TokenServer(tmp_path / "tokens")
    tokens.fail_next = 2
    with tokens.serve() as realm:
        port = int(realm.rpartition(":")[2].partition("/")[0])
        with Relay(port, [Cut("down", 20)]) as relay:
            settings = tokens.settings(f"http://{relay.host}/token")
            with servers.serve(registry_binary, tmp_path / "r", token=settings) as server:
                log_in(home, server.host)
                reference = Reference.parse(f"{server.host}/team/app:v1")
                push(make_image(tmp_path / "image"), [reference], registries, progress)


def test_the_password_is_not_in_the_error_of_a_token_server(with_tokens, home, registries, progress, tmp_path):
    server, _ = with_tokens
    log_in(home, server.host, "wr0ng-p4ss")
    with pytest.raises(BentoError, match=r"token request.*config\.json.*returned 401") as caught:
        push(make_image(tmp_path), [Reference.parse(f"{server.host}/team/app:v1")], registries, progress)
    assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "scheme", "parameters"),
    [
        (['Basic realm="x"'], "basic", {"realm": "x"}),
        (['Bearer realm="https://a/t",service="s",scope="repository:a:pull,push"'], "bearer", None),
        (['Basic realm="x"', 'Bearer realm="https://a/t"'], "bearer", {"realm": "https://a/t"}),
        (['Basic realm="x", Bearer realm="y, z", service=s'], "bearer", {"realm": "y, z", "service": "s"}),
        (['bearer REALM="a\\"b"'], "bearer", {"realm": 'a"b'}),
        (["Basic"], "basic", {}),
    ],
)
def test_challenges_are_read(headers, scheme, parameters):
    challenge = Challenge.parse(headers)
    assert challenge is not None
    assert challenge.scheme == scheme
    if parameters is None:
        parameters = {"realm": "https://a/t", "service": "s", "scope": "repository:a:pull,push"}
    assert challenge.parameters == parameters
