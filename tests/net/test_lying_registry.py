"""Registries that lie: no secret goes elsewhere, nothing is asked without an end, and the answer is a message."""

import base64
import json
import threading
import time

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.base.net import ConnectionLostError, limits
from rules_bento.base.net.transfers import Progress
from rules_bento.base.net.transport import Transport
from rules_bento.base.net.urls import Origin
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry.auth import Authorizer, Challenge
from rules_bento.images.registry.blob_sources import BytesSource
from rules_bento.images.registry.client import Registries
from rules_bento.images.registry.descriptor import Descriptor, Manifest
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.pull_from_registry import pull
from rules_bento.images.registry.push_to_registry import upload
from rules_bento.images.registry.reference import Reference

from tests.net.liar import liar, reply

DIGEST = "sha256:" + "0" * 64
LIST = f"referrers/{DIGEST}"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A user with a password for all registries of these tests."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "netrc").write_text("default login me password hunter2\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture
def registries():
    with Registries(sleep=lambda _: None, patience=5) as made:
        yield made


def of(server, registries):
    return registries.repository(Reference.parse(f"{server.host}/a/b"))


def registry(answers):
    """A registry with what is below `/v2/a/b/`: bytes of an answer, or what gives them for a request."""

    def answer(request):
        given = answers.get(request.path.partition("/v2/a/b/")[2].partition("?")[0], reply(404))
        return reply() if request.path == "/v2/" else given(request) if callable(given) else given

    return answer


def listed(children, **more):
    """An index of descriptors, or of manifests, as bytes."""
    entries = [child if isinstance(child, dict) else child.descriptor.to_json() for child in children]
    return json.dumps({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": entries, **more}).encode()


def index(children, **more):
    return Manifest.read(listed(children, **more), oci.INDEX, "test")


def test_the_next_page_is_on_the_same_server(registries):
    with liar(lambda _: reply(body=b'{"manifests": []}')) as other:
        for url in (f"http://localhost:{other.port}/latest", f"{other.url}/v2/a/b/{LIST}", f"//{other.host}/x"):
            page = reply(headers={"Link": f'<{url}>; rel="next"'}, body=b'{"manifests": []}')
            with liar(registry({LIST: page})) as server, pytest.raises(BentoError, match="on another server"):
                of(server, registries).referrers(DIGEST)
        assert not other.requests


@pytest.mark.parametrize(
    ("link", "manifests", "message", "requests"),
    [
        *((link, "[]", "invalid URL", 2) for link in ("http://[", "ftp://x/", "http://x:99999/")),
        (f"/v2/a/b/{LIST}?n=1", "[]", "form a cycle", 3),
        *(("", text, "in the response, manifests isn't a list", 2) for text in ('"abc"', "5", '{"a": 1}')),
    ],
)
def test_invalid_pages_of_referrers_are_rejected(registries, link, manifests, message, requests):
    headers = {"Link": f'<{link}>; rel="next"'} if link else {}
    page = reply(headers=headers, body=f'{{"manifests": {manifests}}}'.encode())
    with liar(registry({LIST: page})) as server, pytest.raises(BentoError, match=message):
        of(server, registries).referrers(DIGEST)
    assert len(server.requests) == requests  # with the greeting


def test_pages_without_end_are_rejected(registries, monkeypatch):
    monkeypatch.setattr(limits, "NAMES", 25)

    def page(request):
        following = f'<{request.path}?1>; rel="next"'
        return reply(headers={"Link": following}, body=listed([index([])] * 3))

    with liar(registry({LIST: page})) as server, pytest.raises(BentoError, match="more than 25 referrers"):
        of(server, registries).referrers(DIGEST)


@pytest.mark.parametrize(
    ("bound", "page"), [("PAGES", b'{"manifests": []}'), ("LISTING", b'{"manifests": [], "a": ""}')]
)
def test_pages_with_nothing_on_them_have_an_end(registries, monkeypatch, bound, page):
    monkeypatch.setattr(limits, bound, 20)

    def empty(request):
        return reply(headers={"Link": f'<{request.path}?1>; rel="next"'}, body=page)

    with liar(registry({LIST: empty})) as server, pytest.raises(BentoError, match=r"exceeds \d+ pages"):
        of(server, registries).referrers(DIGEST)
    assert len(server.requests) < 25


def test_a_token_server_of_http_is_on_the_registry_s_own_host(registries):
    def token(request):
        return reply(body=b'{"token": "t"}')

    def tags(request):
        challenge = {"WWW-Authenticate": f'Bearer realm="{realm}",service="x"'}
        return reply(401, challenge) if "authorization" not in request.headers else reply(body=b'{"manifests": []}')

    with liar(token) as tokens:
        realm = f"http://localhost:{tokens.port}/token"  # another host than 127.0.0.1, by its name
        with (
            liar(registry({LIST: tags})) as server,
            pytest.raises(BentoError, match="is on another host and doesn't use HTTPS"),
        ):
            of(server, registries).referrers(DIGEST)
        assert not tokens.requests
        realm = f"{tokens.url}/token"
        with liar(registry({LIST: tags})) as server:
            assert of(server, registries).referrers(DIGEST) == []
        password = base64.b64encode(b"me:hunter2").decode()
        assert tokens.requests[0].headers["authorization"] == f"Basic {password}"


@pytest.mark.parametrize(
    ("origin", "realm", "allowed"),
    [
        ("https://registry.test", "https://auth.test/token", True),
        ("https://registry.test", "https://registry.test:8443/token", True),
        ("https://registry.test", "/token", True),
        ("https://registry.test", "http://auth.test/token", False),
        ("https://registry.test", "http://registry.test/token", False),
        ("http://registry.test", "http://registry.test:81/token", True),
        ("http://registry.test", "http://auth.test/token", False),
        ("http://registry.test", "https://auth.test/token", True),
        *[
            ("https://registry.test", f"https://{host}/token", False)
            for host in (
                "127.0.0.1", "localhost", "localhost.", "a.localhost", "10.1.2.3", "192.168.0.1", "169.254.169.254",
                "0.0.0.0", "100.64.0.1", "[::1]", "[fe80::1]", "[fd00::1]", "[::ffff:169.254.169.254]",
                "127.1", "2130706433", "0x7f000001", "0177.0.0.1",
            )
        ],
        ("https://10.0.0.1", "https://10.0.0.2/token", True),
        ("https://registry.test", "https://8.8.8.8/token", True),
        *[("https://registry.test", realm, False) for realm in ("", "https://[", "file:///x", "https://a b/")],
    ],
)  # fmt: skip
def test_where_credentials_go(origin, realm, allowed):
    authorizer = Authorizer(Reference.parse("registry.test/a"), Origin.from_url(origin), Transport(), None)
    if allowed:
        assert authorizer._realm(realm).endswith("/token")
    else:
        with pytest.raises(BentoError, match=r"operator|private network|invalid URL"):
            authorizer._realm(realm)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"token": "' + b"a" * limits.TOKEN + b'"}', f"exceeds the limit of {limits.TOKEN} bytes"),
        (b'{"token": "a\\nb"}', "invalid characters"),
        (b'{"token": "\\u2026"}', "invalid characters"),
        (b"[1]", "returned no token"),
        (b'{"token": 5}', "returned no token"),
    ],
)
def test_answers_of_a_token_server(registries, body, said):
    def tags(request):
        if request.path.startswith("/token"):
            return reply(body=body)
        return reply(401, {"WWW-Authenticate": f'Bearer realm="http://{request.headers["host"]}/token"'})

    with liar(tags) as server, pytest.raises(BentoError, match=said):
        of(server, registries).referrers(DIGEST)


@pytest.mark.parametrize("life", ["-5", "true", '"60"', "[]", "1e99"])
def test_how_long_a_token_lives(registries, life):
    def answer(request):
        if request.path.startswith("/token"):
            return reply(body=f'{{"token": "t", "expires_in": {life}}}'.encode())
        if "authorization" not in request.headers:
            return reply(401, {"WWW-Authenticate": f'Bearer realm="http://{request.headers["host"]}/token"'})
        return reply(body=b'{"manifests": []}')

    with liar(answer) as server:
        for _ in range(2):
            assert of(server, registries).referrers(DIGEST) == []
    assert sum(request.path.startswith("/token") for request in server.requests) == 1


def test_tokens_for_several_scopes_are_fetched_at_once():
    both = threading.Barrier(2, timeout=20)

    def token(_):
        both.wait()
        return reply(body=b'{"token": "t"}')

    with liar(token) as server:
        reference = Reference.parse(f"{server.host}/a/b")
        authorizer = Authorizer(reference, Origin.from_url(server.url), Transport(patience=10), None)
        challenge = [f'Bearer realm="{server.url}/token"']
        learning = [
            threading.Thread(
                target=authorizer.accept_challenge, args=(challenge, frozenset({f"repository:{name}:pull"}), "")
            )
            for name in ("a", "a", "b", "b")
        ]
        for thread in learning:
            thread.start()
        for thread in learning:
            thread.join()
    assert len(server.requests) == 2  # one to a scope, side by side


def test_a_challenge_of_a_hostile_registry_takes_no_time(registries):
    headers = {"WWW-Authenticate": "Bearer " + "a" * 8_000}
    begin = time.process_time()
    with liar(lambda _: reply(401, headers)) as server, pytest.raises(BentoError, match=r"has no realm|401"):
        of(server, registries).referrers(DIGEST)
    assert time.process_time() - begin < 5


@pytest.mark.parametrize("location", ["http://[", "ftp://x/", "http://a b/", "\u00fc://", "http://x:y/"])
def test_a_location_that_is_not_an_address(registries, location):
    with (
        liar(registry({"manifests/v1": reply(307, {"Location": location})})) as server,
        pytest.raises(BentoError, match="invalid URL|all attempts|404"),
    ):
        of(server, registries).get_manifest("v1")


def test_redirects_without_end_are_given_up(registries):
    with (
        liar(lambda request: reply(307, {"Location": f"{request.path}1"})) as server,
        pytest.raises(BentoError, match="returned 307"),
    ):
        of(server, registries).referrers(DIGEST)
    assert len(server.requests) < 2 * limits.REDIRECTS + 5


def test_a_manifest_is_bounded(registries):
    large = reply(headers={"Content-Type": oci.INDEX}, body=listed([], annotations={"a": "b" * limits.MANIFEST}))
    with (
        liar(registry({"manifests/v1": large})) as server,
        pytest.raises(BentoError, match=f"exceeds the limit of {limits.MANIFEST}"),
    ):
        of(server, registries).get_manifest("v1")


@pytest.mark.parametrize("platform", [5, [], "linux", {"os": 5, "architecture": ["x"]}, {"os": None}])
def test_platforms_and_annotations_of_another_shape(registries, platform, tmp_path):
    entry = {"mediaType": oci.MANIFEST, "digest": DIGEST, "size": 5, "platform": platform, "annotations": [1]}
    answers = {"manifests/v1": reply(headers={"Content-Type": oci.INDEX}, body=listed([entry], annotations=5))}
    with liar(registry(answers)) as server, pytest.raises(BentoError, match="expected .* got"):
        reference = Reference.parse(f"{server.host}/a/b:v1")
        pull([reference], Layout.create(tmp_path / "l"), registries, Progress("test"), platforms=["linux/amd64"])


def test_indexes_that_list_each_other_are_read_once_each():
    low = [index([], annotations={"n": name}) for name in "ab"]
    there = {manifest.descriptor.digest: manifest for manifest in low}
    for level in range(limits.NESTING - 1):
        low = [index(low, annotations={"n": f"{level}{name}"}) for name in "ab"]
        there |= {manifest.descriptor.digest: manifest for manifest in low}
    reads: list[str] = []

    def read(entry):
        reads.append(entry.digest)
        return there[entry.digest]

    found = oci.collect_manifests(index(low).children(), read)
    assert len(reads) == len(set(reads)) == len(there)
    places = [manifest.descriptor.digest for manifest in found]
    assert all(
        places.index(child.digest) < places.index(manifest.descriptor.digest)
        for manifest in found
        for child in manifest.children()
    )
    deeper = index([index(low)])
    there |= {child.digest: index(low) for child in deeper.children()}
    with pytest.raises(BentoError, match=f"or {limits.NESTING} levels of nested indexes"):
        oci.collect_manifests(deeper.children(), read)


def test_manifests_below_an_index_are_counted(monkeypatch):
    monkeypatch.setattr(limits, "MANIFESTS", 10)
    there = [index([], annotations={"n": str(number)}) for number in range(11)]
    by_digest = {manifest.descriptor.digest: manifest for manifest in there}
    assert len(oci.collect_manifests(index(there[:10]).children(), lambda entry: by_digest[entry.digest])) == 10
    with pytest.raises(BentoError, match="exceeds 10 manifests"):
        oci.collect_manifests(index(there).children(), lambda entry: by_digest[entry.digest])


def test_entries_that_are_equal_are_requested_once(registries, tmp_path):
    child = index([])
    root = index([child] * 5_000)
    answers = {
        "manifests/v1": reply(headers={"Content-Type": oci.INDEX}, body=root.content),
        f"manifests/{child.descriptor.digest}": reply(headers={"Content-Type": oci.INDEX}, body=child.content),
    }
    with liar(registry(answers)) as server:
        reference = Reference.parse(f"{server.host}/a/b:v1")
        pull([reference], Layout.create(tmp_path / "layout"), registries, Progress("test"))
    assert len(server.requests) == 3  # with the greeting


def test_a_config_is_bounded(registries):
    with liar(registry({})) as server, pytest.raises(BentoError, match=f"the limit is {limits.DOCUMENT}"):
        of(server, registries).read_blob(Descriptor(oci.CONFIG, DIGEST, limits.DOCUMENT + 1))
    assert not server.requests


@pytest.mark.parametrize("told", ["0-0", "0-²", f"0-{'9' * 5000}", "0-99", "0-4"])
def test_an_upload_of_which_the_registry_takes_nothing_ends(registries, told, monkeypatch):
    monkeypatch.setattr("rules_bento.images.registry.push_to_registry._MAX_SINGLE_REQUEST", 5)
    content = b"0123456789"

    def sending(request):
        return reply(202, {"Location": "/v2/a/b/blobs/uploads/1", "Range": told})

    answers = {"blobs/uploads/": sending, "blobs/uploads/1": sending}
    with (
        liar(registry(answers)) as server,
        pytest.raises(BentoError, match="the upload stopped at byte|no valid Range header"),
    ):
        upload(of(server, registries), oci.digest_of(content), len(content), BytesSource(content), Progress("test"))
    assert len(server.requests) < 40


@pytest.mark.parametrize(("length", "there"), [("4", True), ("5", False), ("²", True), ("9" * 5000, True)])
def test_a_head_request_shows_whether_a_blob_exists(registries, length, there):
    with liar(registry({f"blobs/{DIGEST}": reply(headers={"Content-Length": length})})) as server:
        assert of(server, registries).has_blob(DIGEST, 4) is there


def test_bearer_comes_before_basic():
    challenge = Challenge.parse(['Basic realm="x"', "Bearer realm=https://a"])
    assert challenge == Challenge("bearer", {"realm": "https://a"})


def test_a_server_that_closes_is_a_cut():
    with (
        liar(lambda _: b"") as server,
        pytest.raises(ConnectionLostError),
        Transport(5).exchange("GET", server.url, {}),
    ):
        pass
