"""Ways to a registry: encrypted, through a proxy, over redirects; and what is never sent along."""

import base64
import json
import socket
import threading
from pathlib import Path

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.base.net.host_settings import proxy_for
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry import response_error
from rules_bento.images.registry.client import Registries
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.pull_from_registry import pull
from rules_bento.images.registry.push_to_registry import push
from rules_bento.images.registry.reference import Reference

from tests.helpers.loopback import Handler, running
from tests.net.liar import liar, reply
from tests.registry import servers
from tests.registry.images import make_image
from tests.registry.relay import DOWN, UP, Cut, Relay


@pytest.fixture
def encrypted(registry_binary, tls, tmp_path):
    with servers.serve(registry_binary, tmp_path / "tls-registry", tls=tls) as running:
        yield running


def test_an_authority_in_certs_d_is_trusted(encrypted, tls, home, registries, progress, tmp_path):
    directory = home / ".config/docker/certs.d" / encrypted.host
    directory.mkdir(parents=True)
    (directory / "ca.crt").write_bytes(tls.authority.read_bytes())
    push(make_image(tmp_path / "image"), [Reference.parse(f"{encrypted.host}/team/app:v1")], registries, progress)


def test_an_unknown_certificate_is_rejected_at_once_and_not_reached_without_encryption(
    encrypted, registries, progress, tmp_path
):
    with pytest.raises(BentoError, match=r"certificate isn't trusted.*SSL_CERT_FILE"):
        push(make_image(tmp_path), [Reference.parse(f"{encrypted.host}/team/app:v1")], registries, progress)
    assert not encrypted.blobs()


def test_interruptions_of_an_encrypted_connection_are_survived(
    encrypted, tls, registries, progress, tmp_path, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
    faults = [Cut(UP, at, at % 2 == 0) for at in (100, 9_000, 100_001, 250_000, 333_333)] + [Cut(DOWN, 1_500)]
    image = make_image(tmp_path / "image")
    with Relay(encrypted.port, faults) as relay:
        reference = Reference.parse(f"{relay.host}/team/app:v1")
        push(image, [reference], registries, progress)
        assert len(relay.happened) == len(faults)
    with Relay(encrypted.port, [Cut(DOWN, at) for at in (6_000, 100_000, 200_000)]) as relay:
        reference = Reference.parse(f"{relay.host}/team/app:v1")
        pull([reference], Layout.create(tmp_path / "layout"), registries, progress)
        assert len(relay.happened) == 3
    encrypted.assert_sound()


def test_other_hosts_need_encryption_unless_they_are_named(server, progress, tmp_path, monkeypatch):
    monkeypatch.setattr("rules_bento.images.registry.client.is_loopback", lambda host: False)
    reference = Reference.parse(f"{server.host}/insecure/app:v1")
    image = make_image(tmp_path)
    with Registries(sleep=lambda _: None) as strict, pytest.raises(BentoError, match="all attempts to connect") as told:
        push(image, [reference], strict, progress)
    assert (
        f"(the server doesn't use TLS). If you trust the network to the registry, add --insecure {server.host}."
        in str(told.value)
    )
    with Registries([server.host]) as lax:
        push(image, [reference], lax, progress)


class Proxy(Handler):
    """A proxy for both kinds of connections, that wants a password."""

    seen: list[tuple[str, str]] = []

    def do_CONNECT(self) -> None:
        self.seen.append(("CONNECT", self.path))
        if not self._allowed():
            return
        self.send_response(200)
        self.end_headers()
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((Proxy.resolve.get(host, host), int(port))) as server:
            other = threading.Thread(target=_pump, args=(server, self.connection), daemon=True)
            other.start()
            _pump(self.connection, server)
            other.join()
        self.close_connection = True

    def _forward(self) -> None:
        self.seen.append((self.command, self.path))
        if not self._allowed():
            return
        host, _, path = self.path.removeprefix("http://").partition("/")
        name, _, port = host.rpartition(":")
        connection = servers.http.client.HTTPConnection(Proxy.resolve.get(name, name), int(port))
        headers = {key: value for key, value in self.headers.items() if not key.startswith("Proxy-")}
        connection.request(self.command, f"/{path}", self.body(), headers)
        response = connection.getresponse()
        self.send_response(response.status)
        content = response.read()
        for key, value in response.getheaders():
            if key != "Transfer-Encoding":
                self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _forward
    resolve: dict[str, str] = {}

    def _allowed(self) -> bool:
        wanted = "Basic " + base64.b64encode(b"proxy:p%x").decode()
        if self.headers.get("Proxy-Authorization") == wanted:
            return True
        self.send_error(407)
        return False


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_a_proxy_is_used_for_plain_connections(server, progress, tmp_path, monkeypatch):
    monkeypatch.setattr(Proxy, "seen", [])
    monkeypatch.setattr(Proxy, "resolve", {"registry.invalid": "127.0.0.1"})
    image = make_image(tmp_path / "image")
    host = f"registry.invalid:{server.port}"
    with running(Proxy) as proxy, Registries([host], sleep=lambda _: None) as registries:
        monkeypatch.setenv("HTTP_PROXY", f"http://proxy:p%25x@{proxy.host}")
        # The registry names itself as it is asked for, so that all goes through the proxy.
        reference = Reference.parse(f"{host}/proxied/app:v1")
        push(image, [reference], registries, progress)
        root = pull([reference], Layout.create(tmp_path / "layout"), registries, progress)
    assert root.content == image.root.content
    assert {path.partition("/v2")[0] for _, path in Proxy.seen} == {f"http://{host}"}


def test_a_proxy_is_used_for_encrypted_connections(encrypted, tls, progress, tmp_path, monkeypatch):
    monkeypatch.setattr(Proxy, "seen", [])
    monkeypatch.setattr("rules_bento.base.net.host_settings.is_loopback", lambda host: False)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
    image = make_image(tmp_path / "image")
    reference = Reference.parse(f"{encrypted.host}/proxied/app:v1")
    with running(Proxy) as proxy, Registries(sleep=lambda _: None) as registries:
        monkeypatch.setenv("https_proxy", f"http://proxy:p%25x@{proxy.host}")
        push(image, [reference], registries, progress)
    assert set(Proxy.seen) == {("CONNECT", encrypted.host)}


@pytest.mark.parametrize(
    ("no_proxy", "host", "through"),
    [
        ("", "registry.test", True),
        ("registry.test", "registry.test", False),
        (".test", "registry.test", False),
        ("test", "registry.test", False),
        ("*.test", "registry.test", False),
        ("egistry.test", "registry.test", True),
        ("other.test, registry.test:443", "registry.test", False),
        ("registry.test:80", "registry.test", True),
        ("10.0.0.0/8", "10.1.2.3", False),
        ("10.0.0.0/8", "11.1.2.3", True),
        ("*", "registry.test", False),
        ("", "localhost", False),
        ("", "127.9.9.9", False),
    ],
)
def test_no_proxy_is_read_as_others_do(monkeypatch, no_proxy, host, through):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert bool(proxy_for("https", host, 443)) is through


HOSTS = (":8080", "a..b:80", ".:80", f"{'x' * 64}:80", "a b:80", "a\x01b:80", "a:0", "a:x", "[::1")


@pytest.mark.parametrize(
    ("variable", "address", "message"),
    [
        *(("HTTPS_PROXY", f"http://{host}", "^https_proxy: invalid proxy URL") for host in HOSTS),
        ("HTTPS_PROXY", "socks5://proxy.test:1080", "^https_proxy: unsupported proxy scheme 'socks5'"),
        ("ALL_PROXY", "socks5://proxy.test:1080", "^all_proxy: unsupported proxy scheme 'socks5'"),
    ],
)
def test_a_proxy_that_is_none_is_rejected_with_its_variable(monkeypatch, variable, address, message):
    if variable != "ALL_PROXY":
        monkeypatch.setenv("ALL_PROXY", "http://unused.test")
    monkeypatch.setenv(variable, address)
    with pytest.raises(BentoError, match=message):
        proxy_for("https", "registry.test", 443)


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("ü.test:80", "xn--tda.test", 80),
        ("[::1]:81", "::1", 81),
        ("proxy", "proxy", 80),
        ("u:p@10.0.0.1:8/", "10.0.0.1", 8),
    ],
)
def test_a_proxy_has_a_host_and_a_port(monkeypatch, address, host, port):
    monkeypatch.setenv("HTTPS_PROXY", f"http://{address}")
    made = proxy_for("https", "registry.test", 443)
    assert made is not None
    assert (made.host, made.port) == (host, port)


def test_credentials_do_not_follow_to_another_server(home, registries):
    blob = oci.Descriptor.from_content(b"a blob", "")

    def send_on(request):
        if request.path != "/v2/" and "authorization" not in request.headers:
            return reply(401, {"WWW-Authenticate": 'Basic realm="x"'})
        return reply(307, {"Location": f"{storage.url}/x?signature=s"})

    with liar(lambda _: reply(body=b"a blob")) as storage, liar(send_on) as registry:
        (home / ".docker").mkdir()
        auth = base64.b64encode(b"me:secret").decode()
        (home / ".docker/config.json").write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))
        assert registries.repository(Reference.parse(f"{registry.host}/a")).read_blob(blob) == b"a blob"
    assert any("authorization" in request.headers for request in registry.requests)
    [seen] = storage.requests
    assert "authorization" not in seen.headers


def test_what_a_registry_says_of_itself_is_shown_without_what_controls_a_terminal(registries):
    body = json.dumps({"errors": [{"code": "DENIED", "message": "no\x1b[2J way"}]}).encode()
    with (
        liar(lambda _: reply(403, body=body)) as registry,
        pytest.raises(BentoError, match=r"returned 403 \(no\[2J way\)"),
    ):
        registries.repository(Reference.parse(f"{registry.host}/a")).get_manifest("v1")


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("adding 3 MiB will exceed the configured upper quota", "Remove images from the registry, or raise its quota"),
        ("requested access is denied", "Request access to the repository"),
    ],
)
def test_a_quota_is_no_question_of_access(message, remedy):
    body = json.dumps({"errors": [{"code": "DENIED", "message": message}]}).encode()
    assert remedy in str(response_error(403, body, "host/name", "host"))


def test_no_module_here_names_a_public_registry_but_the_one_of_the_format():
    directory = Path(oci.__file__).parent
    for path in directory.glob("*.py"):
        for name in ("quay.io", "gcr.io", "ghcr.io", "amazonaws"):
            assert name not in path.read_text(), path
        assert ("docker.io" in path.read_text()) == (path.name == "reference.py"), path


class Lying(Handler):
    """A registry with one manifest, whatever the requested digest is. Requires a token that it gives last."""

    def do_GET(self) -> None:
        server = self.server
        if self.path.startswith("/token"):
            server.tokens += 1
            self.send(200, json.dumps({"token": f"t{server.tokens}"}).encode())
        elif self.headers["Authorization"] == f"Bearer t{server.last}":
            digest = oci.digest_of(server.content)
            self.send(200, server.content, {"Content-Type": oci.MANIFEST, "Docker-Content-Digest": digest})
        else:
            self.send(401, headers={"WWW-Authenticate": f'Bearer realm="http://{server.host}/token",service="x"'})


@pytest.mark.parametrize(("last", "is_accepted"), [(1, True), (2, True), (3, False)])
def test_a_token_that_expired_early_is_replaced_once(registries, last, is_accepted):
    config = {"mediaType": oci.CONFIG, "digest": f"sha256:{'2' * 64}", "size": 2}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config, "layers": []}).encode()
    with running(Lying, content=manifest, tokens=0, last=last) as server:
        repository = registries.repository(Reference.parse(f"{server.host}/team/app"))
        if is_accepted:
            assert repository.get_manifest("v1").content == manifest
            with pytest.raises(BentoError, match="the content doesn't match the digest sha256:1111"):
                repository.get_manifest(f"sha256:{'1' * 64}")
        else:
            with pytest.raises(BentoError, match="401"):
                repository.get_manifest("v1")
    assert server.tokens == min(last, 2)
