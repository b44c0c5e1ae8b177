"""Who asks: found where each cloud's own tools look, and never shown."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from bento_cli.cli import main
from bento_cli.transports import object_store
from bento_cli.transports.address import parse
from dropbox_stand_in import REFRESH, TOKEN
from rules_bento.errors import BentoError
from servers import PASSWORD, USER
from support import KINDS, TAG, WRITABLE, archive, files, other, quick, running, serve, store

__all__ = ["archive", "files", "other", "quick", "running", "serve", "store"]

SECRETS = [PASSWORD, TOKEN, REFRESH]


def wrong(kind, monkeypatch, tmp_path):
    """Give a client credentials that the server does not take. Returns what must not be seen."""
    secret = "wr0ng-s3cr3t"
    if kind in ("ftp", "ftps"):
        path = tmp_path / "netrc"
        path.write_text(f"machine 127.0.0.1 login {USER} password {secret}\n")
        path.chmod(0o600)
        monkeypatch.setenv("NETRC", str(path))
    elif kind == "sftp":
        (tmp_path / ".ssh").mkdir()
        monkeypatch.setenv("HOME", str(tmp_path))
    elif kind == "dropbox":
        monkeypatch.setenv("DROPBOX_ACCESS_TOKEN", secret)
    return secret


@pytest.mark.parametrize("kind", ["ftp", "ftps", "dropbox"])
def test_wrong_credentials_are_told_and_not_shown(kind, serve, store, monkeypatch, tmp_path, capsys, caplog):
    server = serve(kind)
    secret = wrong(kind, monkeypatch, tmp_path)
    monkeypatch.setenv("BENTOML_HOME", str(store.home.root))
    caplog.set_level(logging.DEBUG)
    assert main(["export", TAG, server.url("x.bento")]) == 1
    shown = capsys.readouterr()
    assert f"{server.url('x.bento')}: the request failed" in shown.err
    assert secret not in shown.out + shown.err + caplog.text


def test_a_host_that_is_not_known_gets_no_password(serve, other, monkeypatch, tmp_path):
    server = serve("sftp")
    wrong("sftp", monkeypatch, tmp_path)
    with pytest.raises(BentoError, match=r"the key of the host is unknown.*with `ssh 127.0.0.1`") as error:
        other.bentos.import_archive(f"sftp://{USER}:{PASSWORD}@127.0.0.1:{server.port}/x.bento")
    assert PASSWORD not in str(error.value)


def test_sftp_takes_keys_and_passwords(serve, store, monkeypatch):
    server = serve("sftp")
    store.bentos.export(TAG, server.url("x.bento"))  # by a key
    url = f"sftp://{USER}:{PASSWORD}@127.0.0.1:{server.port}/y.bento"
    done = store.bentos.export(TAG, url)
    assert PASSWORD not in str(done.path)
    assert sorted(server.names()) == ["x.bento", "y.bento"]
    monkeypatch.setattr("pathlib.Path.home", lambda: "/nowhere")


@pytest.mark.parametrize("kind", ["ftp", "ftps"])
def test_passwords_in_urls(kind, serve, store, monkeypatch, capsys, caplog):
    server = serve(kind)
    monkeypatch.setenv("NETRC", "/nowhere")
    monkeypatch.setenv("BENTOML_HOME", str(store.home.root))
    caplog.set_level(logging.DEBUG)
    url = f"{kind}://{USER}:{PASSWORD}@127.0.0.1:{server.port}/x.bento"
    assert main(["export", TAG, url, "-o", "json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["path"] == f"{kind}://{USER}@127.0.0.1:{server.port}/x.bento"
    assert "Other users of this machine can see the password in the URL" in shown.err
    assert main(["import", f"{url}/nothing"]) == 1
    shown = capsys.readouterr()
    assert PASSWORD not in shown.out + shown.err + caplog.text


def test_http_tells_only_whom_the_url_names(serve, running, other, tmp_path):
    one = serve("http")
    two = type(one)(tmp_path / "two")
    try:
        one.answer = lambda handler: handler._send(302, b"", {"Location": two.url("y.bento?sig=s3cr3t")}) or True
        one.asked.clear()
        with pytest.raises(BentoError, match="not found"):
            other.bentos.import_archive(f"http://{USER}:{PASSWORD}@127.0.0.1:{one.port}/x.bento")
        assert "Authorization" in one.asked[0][1]
        assert [path for path, _ in two.asked] == ["/y.bento?sig=s3cr3t"]
        assert "Authorization" not in two.asked[0][1]
    finally:
        one.answer = None
        two.close()


@pytest.mark.parametrize("status", [401, 403])
def test_signed_addresses_are_not_shown(status, serve, other):
    server = serve("http")
    server.answer = lambda handler: handler._send(status, b"no") or True
    try:
        with pytest.raises(BentoError, match=f"the server responded with {status}") as error:
            other.bentos.import_archive(server.url("x.bento?X-Amz-Signature=s3cr3t"))
        assert "s3cr3t" not in str(error.value)
    finally:
        server.answer = None


def test_a_token_is_made_of_a_refresh_token(serve, store, monkeypatch):
    server = serve("dropbox")
    monkeypatch.delenv("DROPBOX_ACCESS_TOKEN")
    with pytest.raises(BentoError, match="no credentials.*DROPBOX_ACCESS_TOKEN"):
        store.bentos.export(TAG, server.url("x.bento"))
    monkeypatch.setenv("DROPBOX_REFRESH_TOKEN", REFRESH)
    monkeypatch.setenv("DROPBOX_APP_KEY", "key")
    store.bentos.export(TAG, server.url("x.bento"))
    assert server.names() == ["x.bento"]


def test_s3_takes_profiles(serve, store, monkeypatch, tmp_path):
    """What the AWS command line is configured with; obstore alone knows the environment only."""
    server = serve("s3")
    for name in list(server.environment()):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "credentials").write_text(f"[work]\naws_access_key_id = {USER}\naws_secret_access_key = {PASSWORD}\n")
    (tmp_path / "config").write_text(
        f"[profile work]\nregion = eu-west-1\nendpoint_url = http://127.0.0.1:{server.port}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    store.bentos.export(TAG, server.url("x.bento"))
    assert server.names() == ["x.bento"]


def test_the_variables_of_azure(monkeypatch):
    for name in ("CONNECTION_STRING", "ACCOUNT_NAME", "ACCOUNT_KEY", "SAS_TOKEN", "ENDPOINT"):
        monkeypatch.delenv(f"AZURE_STORAGE_{name}", raising=False)
    address = parse("az://box/x")
    with pytest.raises(BentoError, match=r"az://box/x: the storage account is missing. Set AZURE_STORAGE_ACCOUNT_NAME"):
        object_store.open(address)
    monkeypatch.setenv(
        "AZURE_STORAGE_CONNECTION_STRING",
        "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=a2V5PT0=;EndpointSuffix=core.windows.net",
    )
    assert object_store.azure_options(address) == {
        "account_name": "acme",
        "account_key": "a2V5PT0=",
        "endpoint": "https://acme.blob.core.windows.net",
    }
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=s3cr3t")
    options = object_store.azure_options(address, "acme.dfs.core.windows.net")
    assert options == {"account_name": "acme", "sas_key": "sv=1&sig=s3cr3t"}
    remote = object_store.open(parse("az://box@acme.dfs.core.windows.net/x"))
    assert str(remote.address) == "az://box@acme.dfs.core.windows.net/x"


@pytest.mark.parametrize(("kind", "module", "extra"), [("s3", "obstore", "s3"), ("az", "obstore", "azure")])
def test_a_package_that_is_missing_is_named(kind, module, extra, other, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "acme")
    with pytest.raises(
        BentoError, match=rf"{kind} URLs require the package {module}.*pip install 'rules-bento-cli\[{extra}\]'"
    ):
        other.bentos.import_archive(f"{kind}://host/x.bento")


def test_without_ssh_the_error_says_what_to_install(other, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BentoError, match=r"^sftp://host/x\.bento: SFTP requires the OpenSSH client, .*openssh-client"):
        other.bentos.import_archive("sftp://host/x.bento")


def test_google_auth_is_named(other, monkeypatch):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(BentoError, match=r"require the package google-auth.*pip install 'rules-bento-cli\[gs\]'"):
        other.bentos.import_archive("gs://bucket/x.bento")


def test_google_gets_its_token_over_our_connections(serve, running, monkeypatch, tmp_path):
    """A key file of a service account: google-auth signs, and our connections ask."""
    from bento_cli.transports import gcs
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from rules_bento.net.transport import Transport

    server = serve("http")
    asked = []

    def answer(handler):
        asked.append(handler.rfile.read(int(handler.headers["Content-Length"])))
        body = json.dumps({"access_token": "t0ken", "expires_in": 3600, "token_type": "Bearer"}).encode()
        handler._send(200, body, {"Content-Type": "application/json"})
        return True

    server.answer = answer

    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path / "key.json"
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "client_email": "a@b",
                "private_key": key.decode(),
                "token_uri": server.url("token"),
                "project_id": "p",
            }
        )
    )
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    try:
        assert gcs._login(Transport())() == {"Authorization": "Bearer t0ken"}
    finally:
        server.answer = None
    assert b"assertion=" in asked[0]


def test_kinds_are_all_there():
    assert {"s3", "gs", "ftp", "ftps", "sftp", "http", "dropbox"} == set(KINDS) == {*WRITABLE, "http"}
