"""What looks like a secret is found wherever a Bento has it, and is never shown."""

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from bento_cli.projects import from_directory
from rules_bento.actions import secret_scan as searching
from rules_bento.actions.bento_sources import data_part, snapshot
from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import decode
from rules_bento.bentos.sources import secrets

# Put together when the test runs: nobody's scanner takes this file for one that leaks.
LETTERS = "Qw3rT9yUiOpAsDfGhJkLzXcVbNm8642135eEzP7hK2vB9sXd4LqT6nRfYj1WcUo5Zg8MaCe3HiVxNb0t"
BODY = base64.b64encode(bytes(range(7, 120)) + bytes(range(3, 90))).decode()
HEADER = "-----BEGIN {}PRIVATE KEY-----"
LINES = [BODY[at : at + 64] for at in range(0, len(BODY), 64)]
PEM = "\n".join([HEADER.format(""), *LINES, "-----END PRIVATE KEY-----"])
SERVICE = "import bentoml\n\n@bentoml.service\nclass Service:\n    pass\n"


def token(**claims: object) -> str:
    parts = [{"alg": "HS256", "typ": "JWT"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, LETTERS[:43]])


FOUND = {
    "private key": [
        PEM,
        PEM.replace("\n", "\r\n"),
        json.dumps({"type": "service_account", "private_key": PEM}),
        "key: |\n" + "\n".join(f"    {line}" for line in PEM.split("\n")),
        "KEY = (\n" + "\n".join(f'    "{line}\\n"' for line in PEM.split("\n")) + "\n)",
        PEM.replace("\n", ""),
        PEM.replace("BEGIN PRIVATE KEY-----", "BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES,AB\n"),
        PEM.replace("BEGIN ", "BEGIN OPENSSH "),
        PEM.replace("BEGIN PRIVATE KEY", "BEGIN PGP PRIVATE KEY BLOCK"),
        f'---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nComment: "mine"\n{BODY}\n',
        json.dumps(PEM.replace("KEY-----", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES,AB\n", 1)),
        PEM.replace("\n", "&#13;\n"),
        "KEY = (\n" + "\n".join(f'    b"{line}\\n" +' for line in PEM.split("\n")),
        "\n".join([HEADER.format(""), base64.b64encode(bytes(range(9, 57))).decode()]),  # as long as for Ed25519
    ],
    "base64-encoded private key": [f"client-key-data: {base64.b64encode(PEM.encode()).decode()}"],
    "PuTTY private key": ["PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\n"],
    "AWS access key ID": ["key = 'AKI" + "AQW3RTYUIOPASDFGH'", "https://host/?X=ASI" + "AQW3RTYUIOPASDFGH&y"],
    "AWS secret access key": [
        f"aws_secret_access_key = {LETTERS[:40]}",
        f"export AWS_SECRET_ACCESS_KEY='{LETTERS[:40]}'",
        f'os.environ["AWS_SECRET_ACCESS_KEY"] = "{LETTERS[:40]}"',
        f'"secretAccessKey": "{LETTERS[:40]}"',
    ],
    "Google API key": ["AIz" + "a" + LETTERS[:35]],
    "Azure account key": [f"DefaultEndpointsProtocol=https;AccountKey={LETTERS}{LETTERS[:6]}=="],
    "Azure client secret": [f"'abc8{'Q~'}{LETTERS[:32]}'"],
    "GitHub token": ["ghp" + f"_{LETTERS[:36]}", "github_pat" + f"_{LETTERS}_1", 'x = "\\ngho' + f'_{LETTERS[:36]}"', *(f"gh{kind}" + f"_{LETTERS[:36]}" for kind in "usr")],
    "GitLab token": ["https://user:glpat" + f"-{LETTERS[:20]}@host", *(f"gl{kind}" + f"-{LETTERS[:20]}" for kind in ("dt", "rt", "ptt", "cbt", "ft", "oas", "soat", "agent"))],
    "Slack token": ["xoxb" + f"-123412341234-432143214321-{LETTERS[:24]}"],
    "Hugging Face token": ["HF_TOKEN=hf" + f"_{LETTERS[:34]}", '{"t": "hf' + f'_{LETTERS[:34]}"}}'],
    "OpenAI API key": ["sk-proj" + f"-{LETTERS[:40]}T3Blbk" + f"FJ{LETTERS[:40]}"],
    "Anthropic API key": ["sk-ant-api03" + f"-{LETTERS}{LETTERS[:13]}"],
    "npm token": ["npm" + f"_{LETTERS[:36]}", f"//host/:_authToken={LETTERS[:36]}"],
    "PyPI token": ["password = pypi" + f"-AgEIcHlwaS5vcmc{LETTERS}"],
    "BentoCloud or Yatai API token": [
        "api_token: cur7hab2def3ghi4jkl5",
        "bentoml cloud login --api-token cur7hab2def3ghi4jkl5",
        'os.environ["BENTO_CLOUD_API_KEY"] = "cur7hab2def3ghi4jkl5"',
    ],
    "long-lived JSON Web Token": [token(sub="robot"), token(sub="robot", iat=1_700_000_000, exp=2_000_000_000)],
}  # fmt: skip
HARMLESS = [
    'if "-----BEGIN RSA PRIVATE KEY-----" in text: raise ValueError("that is no public key, give the other one")',
    "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n" + BODY,
    f"The file begins with `{HEADER.format('RSA ')}`, and is in /etc/local-wiki/{BODY[:40]}/{BODY[40:90]}.",
    "\n".join([HEADER.format("RSA "), "MIIEowIBAAKCAQEAtestonlyTestonlyQw3rT9yUiOpA", "-----END RSA PRIVATE KEY-----"]),
    PEM.replace("PRIVATE", "PUBLIC"),
    "AKIA" + "IOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY = os.environ['AWS_SECRET_ACCESS_KEY']",
    "hf_" + "x" * 34,
    "ghp_1234567890abcdefghijklmnopqrstuvwxyz",
    "hf_hub_download(repo_id, filename)",
    "npm_config_registry_of_this_project_here",
    "global" + f"-{LETTERS[:20]}, ghost_{LETTERS[:36]}",
    "api_token: your_api_token_here",
    "api_token = get_token_of_the_environment()",
    token(sub="user", exp=1_700_000_000),
    token(sub="1234567890"),
    "sha256:" + "ab12" * 16,
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in FOUND.items() for text in texts])
def test_a_secret_is_found_by_line(kind: str, text: str) -> None:
    for encoded in (f"\n\n{text}\n".encode(), b"\xff\xfe" + f"\n\n{text}\n".encode("utf-16-le")):
        found = secrets.scan("f", encoded)
        assert [finding.kind for finding in found] == [kind]
        assert "\n" in text or found[0].line == 3


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_none_is_let_be(text: str) -> None:
    assert secrets.scan("f", text.encode()) == []


INDEX = "https://robot:hunt" + "er2@index.example/simple"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("src/requirements.txt", f"--index-url {INDEX}"),
        ("src/requirements-dev.in", f"--extra-index-url={INDEX}"),
        ("src/requirements/base.txt", f"-f {INDEX}"),
        ("src/constraints.txt", f"a @ git+{INDEX}"),
        ("src/bentofile.yaml", f"  extra_index_url:\n  - https://h.example\n  - '{INDEX}'"),
        ("src/pyproject.toml", f'url = "{INDEX}"'),
        ("src/pip.conf", f"index-url = {INDEX.replace('robot', '')}"),
        ("bento.yaml", f'python_requirements: "--index-url {INDEX}\\nsix"'),
        ("env/docker/Dockerfile", f"RUN pip install -i {INDEX.replace('https', 'http')} six"),
    ],
)
def test_a_password_of_an_index_is_found(path: str, text: str) -> None:
    files = [(path, f"\n{text}\n".encode())]
    assert [finding.kind for finding in secrets.scan_files(files)] == ["password in a URL"]
    plain = text.replace("hunt" + "er2", "${PASSWORD}")
    assert list(secrets.scan_files([(path, plain.encode()), ("src/a.py", text.encode())])) == []


def test_the_command_finds_a_password_of_an_index(tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(SERVICE, "utf-8")
    for options in (
        {"index_url": INDEX},
        {"extra_index_url": ["https://h.example", INDEX]},
        {"packages": [f"a @ {INDEX}/a-1.zip"]},
    ):
        with pytest.raises(
            BentoError, match=r"bento\.yaml:\d+: password in a URL\n(.|\n)*requirements\.txt:\d+: password"
        ) as found:
            from_directory.build_bentofile(build_ctx=tmp_path, python=options)
        assert "robot" not in str(found.value)


@pytest.mark.parametrize("line", ["{} # bento: allow-secret", "// bento: allow-secret\n{}"])
def test_a_comment_allows_one_line(line: str) -> None:
    secret = FOUND["GitHub token"][0]
    text = f"{line.format(secret)}\nx = 1\n{secret}\n"
    assert [found.line for found in secrets.scan("f", text.encode())] == [text.count("\n")]


def test_binary_files_and_what_lies_far_behind_are_not_looked_at() -> None:
    secret = FOUND["GitHub token"][0].encode()
    assert secrets.scan("f", b"\0" + secret) == []
    assert secrets.scan("f", b"\n" * secrets.MAX_BYTES + secret) == []
    assert secrets.scan("f", b"\n" * 9000 + b"\0" + secret)


def check(files: dict[str, str], *words: str, elsewhere: Iterable[str] | None = ()) -> None:
    request = searching.SecretsRequest(["--scan-secrets", *words])
    contents = [(path, text.encode()) for path, text in files.items()]
    searching.check_contents(request, contents, None if elsewhere is None else list(elsewhere))


def test_a_refusal_names_file_and_line_and_never_the_secret() -> None:
    secret = FOUND["Hugging Face token"][0]
    with pytest.raises(BentoError) as refused:
        check({"bento.yaml": f"envs:\n- {secret}", "src/a.py": "x = 1", "src/b.py": f"\n\n{secret}"})
    assert "  bento.yaml:2: Hugging Face token\n  src/b.py:3: Hugging Face token\n" in str(refused.value)
    assert LETTERS[:6] not in str(refused.value)


def test_an_allowed_file_must_have_a_secret() -> None:
    files = {"src/key.json": FOUND["private key"][2], "src/a.py": "x = 1"}
    allowed = ["--allowed-secret", '"src/key.json"']
    check(files, *allowed)
    with pytest.raises(BentoError, match=r"src/a\.py, which contains no secrets"):
        check(files, *allowed, "--allowed-secret", '"src/a.py"')
    with pytest.raises(BentoError, match=r"key\.json, which isn't a file of the Bento"):
        check(files, *allowed, "--allowed-secret", '"key.json"')


def test_what_a_file_may_have_is_judged_where_it_is_read() -> None:
    allowed = ["--allowed-secret", '"src/data/key.json"']
    check({"bento.yaml": "name: a"}, *allowed, elsewhere=["src/data/key.json"])
    check({"src/a.py": "x = 1"}, *allowed, elsewhere=None)
    check({"src/data/key.json": FOUND["private key"][2]}, *allowed, elsewhere=None)
    with pytest.raises(BentoError, match=r"src/data/key\.json, which contains no secrets"):
        check({"src/data/key.json": "{}"}, *allowed, elsewhere=None)


@pytest.mark.parametrize(("flag", "verb"), [("--source", snapshot), ("--data", data_part)])
def test_nothing_is_written_of_files_with_secrets(flag: str, verb: Any, tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(f"{SERVICE}# {FOUND['GitHub token'][0]}\n", "utf-8")
    outputs = [word for name in ("manifest", "part") for word in (f"--{name}", str(tmp_path / name))]
    if verb is snapshot:
        outputs += [word for name in ("service-info", "unused") for word in (f"--{name}", str(tmp_path / name))]
    words = ["--target", "//:bento", "--build-ctx", "", *outputs]
    words += [flag, str(tmp_path / "service.py"), "service.py", "//:service.py"]
    with pytest.raises(BentoError, match=r"src/service\.py:\d+: GitHub token"):
        verb(decode(verb, [*words, "--scan-secrets"]))
    assert [path.name for path in tmp_path.iterdir()] == ["service.py"]
    verb(decode(verb, words))


def test_the_command_rejects_the_same(tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(SERVICE, "utf-8")
    (tmp_path / "key.pem").write_text(PEM, "utf-8")
    message = r"src/key\.pem:1: private key\n(.|\n)*--allow-secret. Disable .* --no-secrets-check"
    with pytest.raises(BentoError, match=message):
        from_directory.build_bentofile(build_ctx=tmp_path)
    for allowed in (None, ("src/key.pem",)):
        extra = from_directory.ExtraOptions(secrets=allowed)
        from_directory.build_bentofile(build_ctx=tmp_path, extra=extra)
    with pytest.raises(BentoError, match=r"bento\.yaml:\d+: Hugging Face token"):
        more = {"envs": [{"name": "HF_TOKEN", "value": "hf" + f"_{LETTERS[:34]}"}]}
        from_directory.build_bentofile(build_ctx=tmp_path, **more, extra=extra)
