"""URLs: what they mean, and what of them is never shown."""

from __future__ import annotations

import pytest
from bento_cli.transports.address import parse
from rules_bento.base.errors import BentoError


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "path"),
    [
        ("s3://bucket/a/b.bento", "s3", "bucket", None, "/a/b.bento"),
        ("s3a://bucket/a#b?c%20d.bento", "s3", "bucket", None, "/a#b?c%20d.bento"),
        ("S3://bucket", "s3", "bucket", None, "/"),
        ("gcs://bucket/x", "gs", "bucket", None, "/x"),
        ("abfss://container@account.dfs.core.windows.net/x", "az", "container@account.dfs.core.windows.net", None, "/x"),
        ("ftp://ann:pw@host:2121/d/x", "ftp", "host", 2121, "/d/x"),
        ("sftp://ann:p%40w@[::1]:22/d/x", "sftp", "::1", 22, "/d/x"),
        ("ssh://host/x", "sftp", "host", None, "/x"),
        ("dropbox://d/x.bento", "dropbox", "", None, "d/x.bento"),
        ("dropbox:///d/x.bento", "dropbox", "", None, "/d/x.bento"),
        ("webdav://host:80/d/x.bento", "webdav", "", None, "host:80/d/x.bento"),
        ("https://host/d/x.bento?signature=abc", "https", "host", None, "/d/x.bento"),
    ],
)  # fmt: skip
def test_urls_are_parsed_into_their_parts(text, scheme, host, port, path):
    found = parse(text)
    assert (found.scheme, found.host, found.port, found.path) == (scheme, host, port, path)


@pytest.mark.parametrize("text", ["x.bento", "/a/b", "./s3:/x", "file:///a/b", "osfs:///a", "a/b://c", "tag:v1"])
def test_paths_of_this_machine(text):
    assert parse(text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("simplecache::s3://ann:s3cr3t@a/b", "invalid or chained URL"),
        ("s3:///x", "the bucket is missing"),
        ("ftp:///x", "the host is missing, or the port is invalid"),
        ("sftp://ann:s3cr3t@host:port/x", "the host is missing, or the port is invalid"),
        ("sftp://-oProxyCommand=x/y", r"starts with '-'"),
        ("sftp://-l@h/p", r"starts with '-'"),
        ("sftp://%2doProxyCommand@h/p", r"starts with '-'"),
        ("sftp://u%3bid@h/p", r"starts with '-'"),
        ("sftp://u%5c@h/p", r"starts with '-'"),
        *(
            (f"{scheme}://{login}@host/x", "the user name or password contains a control character")
            for scheme in ("http", "ftp", "ftps", "sftp")
            for login in ("me:s3c%0d%0ar3t", "m%0ae:s3cr3t", "s3cr3t%00")
        ),
        *(
            (f"{scheme}://{text}", "contains a newline or another control character")
            for scheme in ("http", "ftp", "sftp", "s3", "gs", "dropbox")
            for text in ("host/x\r\nDELE y", "h\nost/x", "host/\x00", "host/\x7f")
        ),
    ],
)
def test_invalid_input_is_rejected(text, said):
    with pytest.raises(BentoError, match=said) as error:
        parse(text)
    assert "s3c" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sftp://ann:s3cr3t@host/x.bento", "sftp://ann@host/x.bento"),
        ("https://ann:s3cr3t@host:1/x.bento?X-Amz-Signature=s3cr3t", "https://host:1/x.bento"),
        ("dropbox://d/x", "dropbox://d/x"),
        ("ftp://[::1]:21/x", "ftp://[::1]:21/x"),
        ("webdav://ann:s3cr3t@host/x", "webdav://ann@host/x"),
    ],
)
def test_what_is_shown(text, shown):
    found = parse(text)
    assert str(found) == shown
    assert "s3cr3t" not in repr(found)
    if "s3cr3t" in text:
        assert "s3cr3t" not in str(found.failed(f"cannot reach {text}, login s3cr3t", ""))


def test_only_required_credentials_are_requested():
    assert parse("https://ann:s3cr3t@host:1/x?a=b").url == "https://host:1/x?a=b"


@pytest.mark.parametrize("letter", "'`\"$\\;&<>|(){} \t")
def test_hosts_and_users_that_a_shell_would_read(letter):
    for url in (f"sftp://a{letter}b/x", f"ssh://u@a{letter}b/x"):
        with pytest.raises(BentoError, match=r"shell metacharacter|control character|host is missing"):
            parse(url)
    if letter not in "$\\":
        with pytest.raises(BentoError, match=r"shell metacharacter|control character"):
            parse(f"sftp://u{letter}d@host/x")


@pytest.mark.parametrize(
    "url", ["sftp://CORP%5cann@build-1.corp_x/p", "sftp://ann@[fe80::1%25eth0]:22/p", "sftp://b\u00fc/p"]
)
def test_hosts_and_users_that_are_right(url):
    assert parse(url)


def test_who_asks(tmp_path, monkeypatch):
    path = tmp_path / "netrc"
    path.write_text("machine host login ann password one\nmachine other login bob password two\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    assert parse("ftp://host/x").login() == ("ann", "one")
    assert parse("ftp://ann@host/x").login() == ("ann", "one")
    assert parse("ftp://eve@host/x").login() == ("eve", "")
    assert parse("ftp://eve:three@host/x").login() == ("eve", "three")
    assert parse("ftp://nobody/x").login() == ("", "")
    path.write_text("machine ::1 login eva password four\ndefault login zoe password five\n")
    assert parse("http://[::1]:80/x").login() == ("eva", "four")
    assert parse("ftp://nobody/x").login() == ("zoe", "five")
    assert parse("ftp://eve@nobody/x").login() == ("eve", "")
    path.write_bytes(b"machine host login \xff password s3cr3t\n")
    with pytest.raises(BentoError, match="cannot read the file as text"):
        parse("ftp://host/x").login()
    path.write_text("machine host logi ann password s3cr3t\n")
    with pytest.raises(BentoError, match="netrc:1: invalid entry") as error:
        parse("ftp://host/x").login()
    assert "s3c" not in str(error.value)
