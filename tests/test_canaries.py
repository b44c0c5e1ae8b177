"""Secrets that a machine has come out of no command, whatever goes wrong on the way."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from bento_cli.cli import main
from rules_bento.base.net import transfers

from tests.net.liar import Request, liar, reply

CANARY = "canary7secret"
SERVICE = "import bentoml\n\n@bentoml.service\nclass Service:\n    pass\n"
SCHEMES = ("http", "https", "ftp", "ftps", "sftp", "nothing")
VARIABLES = (
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_KEY", "DROPBOX_TOKEN", "FTP_PASSWORD",
    "GITHUB_TOKEN", "UNKNOWN_TO_ALL",
)  # fmt: skip
REFUSALS = {"/401": 401, "/403": 403, "/404": 404, "/moved": 302, "/lie": 200}


def refusal(request: Request) -> bytes:
    """Say no to everything, and say back what opened it, as proxies do."""
    code = next((code for path, code in REFUSALS.items() if path in request.path), 401)
    told = f"{request.path} {request.headers}".encode()
    headers = {"WWW-Authenticate": 'Basic realm="here"', "Content-Length": str(len(told))}
    if code == 302:
        headers["Location"] = f"http://{CANARY}:{CANARY}@127.0.0.1:1{request.path}?{CANARY}"
    return reply(code, headers, b"" if request.method == "HEAD" else told)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with liar(refusal) as running:
        yield running.host


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which every file that may have a secret has one, and variables that do; returns a project."""
    home = tmp_path / "home"
    for path, text in {
        ".netrc": f"machine 127.0.0.1 login me password {CANARY}\nmachine localhost login me password {CANARY}\n",
        ".cache/huggingface/token": CANARY,
        ".docker/config.json": f'{{"auths": {{"127.0.0.1": {{"auth": "bWU6{CANARY}"}}}}}}',
        ".aws/credentials": f"[default]\naws_access_key_id = {CANARY}\naws_secret_access_key = {CANARY}\n",
    }.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(text, "utf-8")
        (home / path).chmod(0o600)
    monkeypatch.setattr(transfers, "_FIRST_WAIT", 0.001)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("BENTOML_HOME", str(home / "bentoml"))
    monkeypatch.setenv("HF_TOKEN", CANARY)
    monkeypatch.delenv("NETRC", raising=False)
    for name in VARIABLES:
        monkeypatch.setenv(name, CANARY)
    project = tmp_path / "project"
    project.mkdir()
    (project / "service.py").write_text(SERVICE, "utf-8")
    monkeypatch.chdir(project)
    return project


def told(words: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """What a command prints, traceback included."""
    with contextlib.suppress(SystemExit):
        main(words)
    return "".join(capfd.readouterr())


def addresses(server: str) -> list[str]:
    """Those that a server refuses, and those that cannot be read, of which no server is asked."""
    refused = [
        f"http://{user}@{server}{path}/a.bento?sig={CANARY}" for path in REFUSALS for user in (f"me:{CANARY}", CANARY)
    ]
    unread = [
        f"{scheme}://me:{CANARY}@{place}" for scheme in SCHEMES for place in ("[/a", ":x/a", "h:99999/a", "h\n/a")
    ]
    return refused + unread


def test_addresses_are_shown_without_what_opens_them(
    server: str, machine: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTO_TRACEBACK", "1")
    main(["build", "--version", "v1"])
    for address in addresses(server):
        for words in (["import", address], ["export", "service:v1", address]):
            assert CANARY not in told(words, capfd), words


@pytest.mark.parametrize(
    "words",
    [
        ["pull", "oci://{}/401/x:1", "--insecure", "127.0.0.1"],
        ["pull", "oci://me:CANARY@{}/x:1"],
        ["push", "service:v1", "oci://{}/401/x:1", "--insecure", "127.0.0.1"],
        ["push", "service:v1", "oci://me:CANARY@{}/x:1"],
        ["models", "pin", "org/name", "--endpoint", "http://me:CANARY@{}"],
        ["models", "pin", "org/name", "--endpoint", "http://{}/403"],
        ["models", "pin", "org/name", "--endpoint", "http://127.0.0.1:1/?CANARY"],
        ["models", "pin", "org/name", "--endpoint", "http://me:CANARY@{}/lie"],
        ["models", "pin", "org/name", "--endpoint", "http://CANARY@{}/lie"],
        ["build", "--env", "TOKEN=CANARY", "--version", "not a version"],
        ["build", "--arg", "CANARY"],
        ["build", "--env", "CANARY CANARY=1=2;stage=never"],
    ],
)
def test_commands_tell_no_secret(
    words: list[str], server: str, machine: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTO_TRACEBACK", "1")
    main(["build", "--version", "v1"])
    (machine / "requirements.txt").write_text(f"--index-url https://me:{CANARY}@{server}/simple\nnumpy\n", "utf-8")
    said = told([word.replace("CANARY", CANARY).replace("{}", server) for word in words], capfd)
    assert said
    assert CANARY not in said


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy", "NETRC", "HF_ENDPOINT"])
def test_variables_that_cannot_be_used_are_named_without_their_secrets(
    name: str, server: str, machine: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = machine / "netrc"
    broken.write_text(f"machine x login y passwort {CANARY}\n", "utf-8")
    for value in (f"http://me:{CANARY}@{server}", f"no{CANARY}thing://me:{CANARY}@[", f"me:{CANARY}@127.0.0.1:x"):
        monkeypatch.setenv(name, str(broken) if name == "NETRC" else value)
        for words in (["import", "http://127.0.0.1:1/a.bento"], ["models", "pin", "a/b"]):
            assert CANARY not in told(words, capfd), (value, words)
