"""Files are found by their hash, with credentials from where people keep them; none is shown."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from rules_bento.base.display import without_credentials
from rules_bento.base.net import limits, secret_hosts

from tests.net.liar import liar, reply
from tests.packages.metadata_index import Index, package, serve, uv_that_distrusts
from tests.packages.starlark_files import load

UV = os.environ["RULES_BENTO_UV"]
FILE = "mine-1.0-py3-none-any.whl"
_PROGRAM = Path("toolchains/programs/locate.py").absolute()


def locate(directory, index, indexes, sha256=None, uv=UV, file=FILE, python="", **variables):
    """Status, answer and messages of the program."""
    environment = {
        "HOME": str(directory),
        "PATH": f"{directory}:/usr/bin:/bin",
        "UV_CACHE_DIR": str(directory / "cache"),
    }
    command = [sys.executable, "-I", "-B", str(_PROGRAM), str(uv), "mine==1.0", file]
    done = subprocess.run(
        [*command, sha256 or index.sha256(file), json.dumps(indexes), python],
        cwd=directory, env=environment | variables, check=False, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


@pytest.fixture
def private():
    index = Index([package("mine", "1.0")])
    index.credentials = "alice:s3cret"
    return index


def by_environment(directory, address):
    return {"UV_INDEX_CORP_USERNAME": "alice", "UV_INDEX_CORP_PASSWORD": "s3cret"}


def by_netrc(directory, address):
    (directory / ".netrc").write_text("machine 127.0.0.1 login alice password s3cret\n", "utf-8")
    (directory / ".netrc").chmod(0o600)
    return {}


def by_address(directory, address):
    return {"UV_INDEX": address.replace("//", "//alice:s3cret@")}


def by_keyring(directory, address):
    """A stand-in of the keyring's command line, which uv asks."""
    (directory / "keyring").write_text('#!/bin/sh\necho "$@" >> asked\n[ "$3" = alice ] && echo s3cret\n', "utf-8")
    (directory / "keyring").chmod(0o755)
    return {"UV_KEYRING_PROVIDER": "subprocess", "UV_INDEX_CORP_USERNAME": "alice"}


def by_store(directory, address):
    """uv's own store, filled by uv itself."""
    command = [UV, "auth", "login", address.removesuffix("/simple"), "--username", "alice", "--password", "s3cret"]
    subprocess.run(command, env={"HOME": str(directory), "PATH": "/usr/bin:/bin"}, check=True, capture_output=True)
    return {}


@pytest.mark.parametrize("way", [by_environment, by_netrc, by_address, by_keyring, by_store])
def test_credentials_are_found_where_uv_finds_them(tmp_path, private, way):
    with serve(private) as address:
        variables = way(tmp_path, address)
        status, found, shown = locate(tmp_path, private, {"default": f"corp={address}"}, **variables)
    assert (status, shown) == (0, "")
    assert found["url"].endswith(f"/files/{FILE}")
    assert (found["login"], found["password"]) == ("alice", "s3cret")


ADDRESSES = {
    "https://index.example/simple": True,
    "http://index.example/simple": False,
    "http://127.0.0.1:9/simple": True,
    "http://localhost:9": True,
    "http://a.localhost": True,
    "http://[::1]:9/simple": True,
    "http://127.0.0.1.index.example/simple": False,
    "http://localhost.example": False,
    "http://127.0.0.1@index.example/simple": False,
    "http://10.0.0.1/simple": False,
}


@pytest.mark.parametrize(("address", "accepted"), ADDRESSES.items())
def test_each_door_sends_secrets_to_the_same_servers(address, accepted):
    starlark = load("private/repositories/fetch.bzl")
    parts = urlsplit(address)
    assert starlark["accepts_secrets"](address) == accepted
    assert locate_module().accepts_secrets(address, {}) == accepted
    assert secret_hosts.accepts_secrets(parts.scheme, parts.hostname) == accepted
    given = {"UV_INDEX_CORP_PASSWORD": "s3cret", "PATH": "/bin"}
    kept = {"PATH": "/bin", "NETRC": os.devnull, "UV_KEYRING_PROVIDER": "disabled"}
    assert secret_hosts.variables_for_addresses([f"corp={address}"], [], given) == (given if accepted else kept)
    for odd in (
        address.replace("//", "/"),
        address.replace("//", ""),
        address.replace("//", "\\\\"),
        f"{address}/${{X}}",
    ):
        assert secret_hosts.variables_for_addresses([odd], [], given) == kept  # uv can read it as the address
        assert not locate_module().accepts_secrets(odd, {})
    host = parts.hostname
    assert locate_module().accepts_secrets(address, {"trusted_hosts": [host]}) == secret_hosts.is_loopback(host)


@pytest.mark.parametrize(
    "where",
    [
        "http://index.example",
        "https://index.example",
        "http:/index.example",
        "http:index.example",
        "HTTP:/index.example",
    ],
)
def test_no_secret_is_sent_without_encryption_or_to_a_trusted_host(tmp_path, where):
    """uv doesn't find the login, either."""
    pylock = f'url = "{where}/{FILE}", hashes = {{ sha256 = "{"0" * 64}" }}'
    (tmp_path / "uv").write_text(f"#!/bin/sh\nenv > {tmp_path}/seen\ncase $1 in pip) echo '{pylock}';; esac\n", "utf-8")
    (tmp_path / "uv").chmod(0o755)
    (tmp_path / ".netrc").write_text("machine index.example login alice password s3cret\n", "utf-8")
    (tmp_path / ".netrc").chmod(0o600)
    variables = {"NETRC": f"{tmp_path}/.netrc", "UV_INDEX_CORP_USERNAME": "alice", "UV_INDEX_CORP_PASSWORD": "s3cret"}
    indexes = {"default": f"corp={where}/simple"}
    if where.startswith("https"):
        status, found, _ = locate(tmp_path, None, indexes, "0" * 64, uv=tmp_path / "uv", **variables)
        assert (found["login"], "s3cret" in (tmp_path / "seen").read_text()) == ("alice", True)
        (tmp_path / ".netrc").write_text("default login alice password s3cret\n", "utf-8")
        _, found, _ = locate(tmp_path, None, {}, "0" * 64, uv=tmp_path / "uv", NETRC=variables["NETRC"])
        assert "login" not in found, "the project selects a host that the user doesn't name"
        indexes["trusted_hosts"] = ["index.example"]
    status, found, _ = locate(tmp_path, None, indexes, "0" * 64, uv=tmp_path / "uv", **variables)
    seen = (tmp_path / "seen").read_text()
    assert "s3cret" not in seen
    assert "NETRC=/dev/null" in seen
    assert status == 1 or found == {"url": f"{where}/{FILE}"}  # a trusted host is asked by this program


def test_without_credentials_the_error_says_so(tmp_path, private):
    with serve(private) as address:
        status, _, shown = locate(tmp_path, private, {"default": f"corp={address}"})
    assert status == 1
    assert "401" in shown


@pytest.mark.parametrize("name", ["uv.toml", "pyproject.toml"])
def test_settings_above_the_directory_of_the_repository_are_not_read(tmp_path, name):
    """Bazel's output base, and the directory of temporary files, can be below one of another user."""
    index = Index([package("mine", "1.0")])
    (tmp_path / "a/b").mkdir(parents=True)
    head = "[tool.uv]\n" if name == "pyproject.toml" else ""
    (tmp_path / name).write_text(f'{head}index-url = "http://127.0.0.1:9/simple"\n')
    with serve(index) as address:
        variables = {"UV_CACHE_DIR": str(tmp_path / "cache"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
        (tmp_path / "config/uv").mkdir(parents=True)
        (tmp_path / "config/uv/uv.toml").write_text(f'index-url = "{address}"\n')
        status, found, shown = locate(tmp_path / "a/b", index, {}, TMPDIR=str(tmp_path / "a"), **variables)
    assert (status, shown) == (0, "")
    assert found["url"].endswith(FILE)


def test_a_requirement_in_metadata_sends_no_variable(tmp_path):
    other = Index([])
    with serve(other) as strange:
        index = Index([package("mine", "1.0", f"b @ {strange}/${{UV_INDEX_CORP_PASSWORD}}/b-1.0-py3-none-any.whl")])
        with serve(index) as address:
            variables = by_environment(tmp_path, address)
            status, _, shown = locate(tmp_path, index, {"default": f"corp={address}"}, **variables)
    assert (status, shown) == (0, "")  # uv needs no dependencies
    assert other.requests == []


@pytest.mark.parametrize(
    ("query", "login", "secrets"), [("", "bob:wr0ng@", ["wr0ng", "bob"]), ("/s?tok=s3cret", "", ["s3cret"])]
)
def test_credentials_and_queries_of_an_index_are_not_shown(tmp_path, private, query, login, secrets):
    with serve(private) as address:
        variables = {"UV_INDEX": address.replace("//", f"//{login}")} if login else {"UV_HTTP_RETRIES": "0"}
        status, _, shown = locate(tmp_path, private, {"default": f"{address}{query}"}, **variables)
    assert status == 1
    assert "127.0.0.1" in shown
    assert [text for text in secrets if text in shown] == []


@pytest.mark.parametrize("requirement", ["mine==1\nevil @ file:///x", "mine", "mine @ file:///x", "-r x", "mine==1; a"])
def test_what_is_not_one_release_does_not_reach_uv(requirement):
    command = [sys.executable, "-I", "-B", str(_PROGRAM), "/no/uv", requirement, FILE, "0" * 64, "", ""]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "expected NAME==VERSION, got " in done.stderr


def test_an_authority_that_only_the_system_trusts_is_trusted(tmp_path):
    """uv knows those of browsers, pip and Bazel also a company's."""
    uv = uv_that_distrusts(tmp_path, UV)
    with serve(Index([package("mine", "1.0")])) as address:
        index = Index([package("mine", "1.0")])
        status, found, shown = locate(tmp_path, index, {"default": address}, uv=uv)
    assert (status, shown) == (0, "")
    assert found["url"].endswith(FILE)


def test_a_directory_serves_by_hash_alone(tmp_path):
    index = Index([package("mine", "1.0")])
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / FILE).write_bytes(index.files[FILE])
    _, found, _ = locate(tmp_path, index, {"find_links": [str(tmp_path / "links")], "no_index": True})
    assert found == {"url": (tmp_path / "links" / FILE).as_uri()}
    status, _, _ = locate(tmp_path, index, {"find_links": [str(tmp_path / "links")], "no_index": True}, sha256="0" * 64)
    assert status == 1


def test_a_trusted_host_is_downloaded_from(tmp_path, private):
    with serve(private) as address:
        indexes = {"default": f"corp={address}", "trusted_hosts": ["127.0.0.1"]}
        status, found, _ = locate(tmp_path, private, indexes, **by_environment(tmp_path, address))
    assert (status, found) == (0, {"path": f"download/{FILE}"})
    assert (tmp_path / "download" / FILE).read_bytes() == private.files[FILE]


@pytest.mark.parametrize("name", ["../odd-1.0-py3-none-any.whl", "/tmp/odd-1.0-py3-none-any.whl", "a/b.whl", "..", ""])
def test_a_name_that_leads_out_of_the_directory_is_rejected(tmp_path, monkeypatch, capsys, name):
    module = locate_module()
    indexes = json.dumps({"find_links": [str(tmp_path)], "trusted_hosts": ["127.0.0.1"]})
    monkeypatch.setenv("PATH", os.environ["PATH"])  # the program omits relative directories
    monkeypatch.setattr(sys, "argv", ["locate.py", "uv", "odd==1.0", name, "0" * 64, indexes, ""])
    monkeypatch.setattr(module, "_locate", None)
    assert module.main() == 1
    assert "the lock is damaged: invalid file name " in capsys.readouterr().err


@pytest.mark.parametrize("found", [{"login": "alice", "password": "s3cret"}, {"token": "s3cret"}])
@pytest.mark.parametrize("elsewhere", ["localhost", "127.0.0.1"])
def test_credentials_stay_with_the_server_that_they_are_for(tmp_path, monkeypatch, found, elsewhere):
    """Another host, or another port of the same, is another server."""
    monkeypatch.chdir(tmp_path)
    shown = []

    def give(request):
        shown.append(request.headers.get("authorization"))
        return reply(body=b"wheel")

    def send_on(request):
        shown.append(request.headers.get("authorization"))
        location = f"http://{elsewhere}:{other.port}/{FILE}" if request.path == "/there" else "/there"
        return reply(302, {"Location": location})

    with liar(give) as other, liar(send_on) as index:
        path = locate_module()._download({"url": f"{index.url}/{FILE}", **found}, FILE)
    assert (tmp_path / path).read_bytes() == b"wheel"
    assert shown[0] == shown[1]
    assert shown[0].startswith(("Basic ", "Bearer "))
    assert shown[2] is None


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1:9/x", "http://["])
def test_a_trusted_host_that_sends_us_to_no_server(tmp_path, monkeypatch, location):
    monkeypatch.chdir(tmp_path)

    answer = reply(302, {"Location": location})
    with liar(lambda _: answer) as index, pytest.raises((OSError, ValueError)):
        locate_module()._download({"url": f"{index.url}/{FILE}"}, FILE)
    assert not (tmp_path / "download" / FILE).exists()


def test_the_bounds_are_those_of_the_package():
    assert (locate_module().PATIENCE, locate_module().BODY) == (limits.PATIENCE, limits.BODY)


def locate_module():
    spec = importlib.util.spec_from_file_location("locate", _PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_yanked_file_is_found_and_a_deleted_one_is_named(tmp_path):
    """Who has locked a release gets it, as installers do (PEP 592); no other file ever takes its place."""
    index = Index([package("mine", "1.0")])
    index.yanked.add(FILE)
    with serve(index) as address:
        status, found, shown = locate(tmp_path, index, {"default": address})
        assert (status, shown) == (0, "")
        assert found["url"].endswith(f"/files/{FILE}")
        status, found, shown = locate(tmp_path, index, {"default": address}, sha256="0" * 64)
    assert (status, found) == (1, {})
    assert "no file with this hash. Update the lock if the release was deleted or replaced." in shown


@pytest.mark.parametrize(
    "tag",
    [
        "py3-none-any",
        "cp310-abi3-manylinux_2_17_x86_64",
        "cp314-cp314-manylinux_2_17_x86_64",
        "py314-none-any",
        "sdist",
    ],
)
@pytest.mark.parametrize("requires", ["==3.14.*", ">=3.8,<3.14.5"])
def test_a_file_for_another_python_than_this_one_is_found(tmp_path, tag, requires):
    """The package hub selected the file for its own Python, and not for that of the actions."""
    made = {"sdist": True, "wheels": ()} if tag == "sdist" else {"wheels": (tag,)}
    index = Index([package("mine", "1.0", requires_python=requires, **made)])
    [file] = index.pages["mine"]
    with serve(index) as address:
        status, found, shown = locate(tmp_path, index, {"default": address}, file=file, python="3.14")
    assert (status, shown) == (0, "")
    assert found["url"].endswith(file)
    assert not {name for name in index.requests if name.endswith(".tar.gz")}, "nothing is built to find a file"


@pytest.mark.parametrize("path", [".", "", "bin", "{}:./bin", "bin:{}"])
def test_programs_in_relative_directories_do_not_run(tmp_path, private, path):
    (tmp_path / "bin").mkdir()
    for place in (tmp_path, tmp_path / "bin"):
        (place / "keyring").write_text("#!/bin/sh\ntouch ran\necho s3cret\n", "utf-8")
        (place / "keyring").chmod(0o755)
    variables = {"UV_KEYRING_PROVIDER": "subprocess", "UV_INDEX_CORP_USERNAME": "alice"}
    variables["PATH"] = path.replace("{}", "/usr/bin:/bin")
    with serve(private) as address:
        locate(tmp_path, private, {"default": f"corp={address}"}, **variables)
    assert not (tmp_path / "ran").exists()


def redactions():
    """The program has a copy of the function, because it runs without the package."""
    return [without_credentials, locate_module()._without_secrets]


@pytest.mark.parametrize(
    "text",
    [
        *("://", "https://a", "://a:", "https://a:b", "http://x/)", "a", "://?", "://)?", "https://a@", "x://a?b)"),
        *("?", ")"),
    ],
)
def test_messages_are_redacted_in_linear_time(text):
    for redact in redactions():
        seconds = []
        for count in (20_000, 160_000):
            begin = time.process_time()
            redact(text * count)
            seconds.append(time.process_time() - begin)
        assert seconds[1] < 1 + 32 * seconds[0]


@pytest.mark.parametrize("form", ["{}", "at {}.", "'{}'", "({})", "<{}>", "a {}\n{}", "({}) and {}", "`{}`"])
@pytest.mark.parametrize(
    "address",
    [
        "https://h.example/s?tok=s3cret",
        "https://u:s3cret@h.example/s",
        "https://s3cret@h.example/s?q=s3cret",
        "http://h.example/a(b)c?x=s3cret",
        "http://h.example/?x=s3cret#s3cret",
        "ssh://u:s3cret@h.example/a?s3cret",
    ],
)
def test_secrets_of_addresses_are_removed_wherever_they_are(form, address):
    for redact in redactions():
        shown = redact(form.replace("{}", address))
        assert "s3cret" not in shown
        assert "h.example" in shown
        assert redact(form) == form


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\u00a0", "\u2003", "\ufeff", "\x00", "\x1f", "\u2028"])
def test_an_address_with_a_character_that_clients_trim_is_not_safe(space):
    from rules_bento.base.errors import BentoError
    from rules_bento.bentos.packages.indexes import Indexes

    for address in (f"{space}http://index.example", f"{space}file:///x", f"c={space}http://x", f"//x{space}:"):
        assert not secret_hosts.are_safe([address], [])
        for field in ("extra", "find_links"):
            with pytest.raises(BentoError, match="another character that clients ignore"):
                Indexes.from_json(json.dumps({field: [address]}), "x")
    assert secret_hosts.are_safe(["my wheels/ä", "https://index.example"], [])
