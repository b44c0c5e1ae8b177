"""Who asks: found where each cloud's own tools look, and never shown."""

from __future__ import annotations

import json
import logging
import re
import shutil
import sys
from pathlib import Path

import pytest
from bento_cli.cli import main
from bento_cli.transports import clouds
from bento_cli.transports.address import parse
from rules_bento.base.errors import BentoError

from tests.transports.dropbox_stand_in import REFRESH
from tests.transports.servers import PASSWORD, USER
from tests.transports.support import TAG


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
def test_wrong_credentials_are_reported_and_not_shown(kind, serve, store, monkeypatch, tmp_path, capsys, caplog):
    server = serve(kind)
    secret = wrong(kind, monkeypatch, tmp_path)
    monkeypatch.setenv("BENTOML_HOME", str(store.home.root))
    caplog.set_level(logging.DEBUG)
    assert main(["export", TAG, server.url("x.bento")]) == 1
    shown = capsys.readouterr()
    assert f"{server.url('x.bento')}: the transfer failed" in shown.err
    assert secret not in shown.out + shown.err + caplog.text


def test_sftp_takes_keys_and_passwords(serve, store, monkeypatch):
    server = serve("sftp")
    store.bentos.export(TAG, server.url("x.bento"))  # by a key
    url = f"sftp://{USER}:{PASSWORD}@127.0.0.1:{server.port}/y.bento"
    done = store.bentos.export(TAG, url)
    assert PASSWORD not in str(done.path)
    assert sorted(server.names()) == ["x.bento", "y.bento"]


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
        one.answer = lambda handler: handler.send(302, b"", {"Location": two.url("y.bento?sig=s3cr3t")}) or True
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
    server.answer = lambda handler: handler.send(status, b"no") or True
    try:
        with pytest.raises(BentoError, match=f"the server responded with {status}") as error:
            other.bentos.import_archive(server.url("x.bento?X-Amz-Signature=s3cr3t"))
        assert "s3cr3t" not in str(error.value)
    finally:
        server.answer = None


def test_a_token_is_made_of_a_refresh_token(serve, store, monkeypatch):
    server = serve("dropbox")
    monkeypatch.delenv("DROPBOX_ACCESS_TOKEN")
    with pytest.raises(BentoError, match="the credentials are missing.*DROPBOX_ACCESS_TOKEN"):
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
        clouds.open_store(address)
    monkeypatch.setenv(
        "AZURE_STORAGE_CONNECTION_STRING",
        "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=a2V5PT0=;EndpointSuffix=core.windows.net",
    )
    assert clouds.azure_options(address) == {
        "account_name": "acme",
        "account_key": "a2V5PT0=",
        "endpoint": "https://acme.blob.core.windows.net",
        "allow_http": False,
    }
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=s3cr3t")
    options = clouds.azure_options(address, "acme.dfs.core.windows.net")
    assert options == {"account_name": "acme", "sas_key": "sv=1&sig=s3cr3t"}
    assert clouds.open_store(parse("az://box@acme.dfs.core.windows.net/x"))[1] == "box/x"


@pytest.mark.parametrize(
    ("kind", "module", "packages"),
    [
        ("s3", "obstore.fsspec", "obstore botocore"),
        ("az", "obstore.fsspec", "obstore azure-identity"),
        ("gs", "obstore.fsspec", "obstore google-auth requests"),
        ("sftp", "paramiko", "paramiko"),
        ("ftp", "fsspec.implementations.ftp", "fsspec"),
    ],
)
def test_a_package_that_is_missing_is_named(kind, module, packages, other, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("bento_cli.transports.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    remedy = f" -m pip install {packages}`. With Bazel, set"
    with pytest.raises(BentoError, match=rf"{kind}:// requires {packages.split()[0]}.*{re.escape(remedy)}"):
        other.bentos.import_archive(f"{kind}://host/x.bento")


def test_google_credentials_are_the_application_default(monkeypatch, tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path / "key.json"
    about = {"client_email": "a@b", "private_key": key.decode(), "token_uri": "https://host/token", "project_id": "p"}
    path.write_text(json.dumps({"type": "service_account", **about}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    provider = clouds._google_options()["credential_provider"]
    assert provider.credentials.service_account_email == "a@b"
    assert provider.credentials.scopes == ["https://www.googleapis.com/auth/devstorage.read_write"]


def test_ssh_config_is_read(serve, store, monkeypatch, tmp_path):
    server = serve("sftp")
    home = tmp_path / "home"
    shutil.copytree(Path(server.environment()["HOME"], ".ssh"), home / ".ssh")
    (home / ".ssh" / "id_ed25519").rename(home / ".ssh" / "work")
    (home / ".ssh" / "config").write_text(
        f"Host box\n HostName 127.0.0.1\n Port {server.port}\n User {USER}\n IdentityFile ~/.ssh/work\n"
    )
    monkeypatch.setenv("HOME", str(home))
    store.bentos.export(TAG, "sftp://box/x.bento")
    assert server.names() == ["x.bento"]


@pytest.mark.parametrize(("user", "config"), [("", ""), ("", "Host 127.0.0.1\n User someone\n"), (f"{USER}@", "")])
def test_a_user_without_an_entry_sets_user(user, config, serve, store, monkeypatch):
    """An arbitrary user of a container platform. paramiko requests the name although the configuration has one."""
    server = serve("sftp")
    file = Path(server.environment()["HOME"], ".ssh/config")
    if config:
        file.write_text(config)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # raises KeyError, as for an unknown user
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    url = f"sftp://{user}127.0.0.1:{server.port}/x.bento"
    if user:
        store.bentos.export(TAG, url)
        assert server.names() == ["x.bento"]
        return
    with pytest.raises(BentoError, match=r"name of this user is unknown\). Set the environment variable USER"):
        store.bentos.export(TAG, url)
    monkeypatch.setenv("USER", USER)
    file.unlink(missing_ok=True)
    store.bentos.export(TAG, url)
    assert server.names() == ["x.bento"]


@pytest.mark.parametrize("kind", ["ftps", "sftp"])
def test_an_unverified_server_gets_no_password(kind, serve, other, monkeypatch, tmp_path):
    server = serve(kind)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(BentoError, match="certificate verify failed|not found in known_hosts") as error:
        other.bentos.import_archive(f"{kind}://{USER}:{PASSWORD}@127.0.0.1:{server.port}/x.bento")
    assert PASSWORD not in str(error.value)
