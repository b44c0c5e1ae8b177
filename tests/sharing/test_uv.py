"""What reaches servers and programs when uv starts: real uv, servers that record requests, and planted files."""

import ast
import base64
import os
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from bento_cli.cli import main
from bento_cli.sharing import native_bytecode
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages import uv
from rules_bento.bentos.packages.lock_with_uv import Project, normalize, update

from tests.helpers.loopback import Handler, running
from tests.packages.metadata_index import Index, package, serve

UV = str(Path(os.environ["RULES_BENTO_UV"]).absolute())
FILE = "mine-1.0-py3-none-any.whl"
COMPILE = [UV, "pip", "compile", "--quiet", "--no-header", "--format=pylock.toml", "-"]
SERVICE = "import bentoml\n\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self, x: int) -> int:\n        return x\n"
# Any of these values in a request, or in a message, is a leak.
CANARIES = (
    *("AWS_SECRET_ACCESS_KEY", "UV_INDEX_CORP_PASSWORD", "UV_INDEX_CORP_USERNAME", "UV_PUBLISH_TOKEN", "HF_TOKEN"),
    *("UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INDEX", "UV_FIND_LINKS", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"),
    *("NO_PROXY", "HOME", "USER", "NETRC", "UV_CACHE_DIR", "UV_CREDENTIALS_DIR", "UV_GITHUB_TOKEN", "SSL_CLIENT_CERT"),
    *("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "SSH_AUTH_SOCK", "CARGO_REGISTRY_TOKEN", "GIT_ASKPASS"),
)
PATHS = ("HOME", "NETRC", "UV_CACHE_DIR", "UV_CREDENTIALS_DIR", "SSL_CLIENT_CERT", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK")


@pytest.fixture
def clean(tmp_path, monkeypatch):
    """No settings of uv but the cache of the test."""
    for name in [*os.environ]:
        if re.match(r"(?i)UV_|XDG_|BENTO_NO_LOCK|NETRC|CI$|\w+_proxy$", name):
            monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    for name, value in (("HOME", "home"), ("UV_CACHE_DIR", "cache"), ("BENTOML_HOME", "bentoml")):
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setattr("rules_bento.bentos.packages.uv.find_uv", lambda *_: UV)
    return tmp_path


class Recorder(Handler):
    """Serves wheels whose metadata requires `b` at a URL of variables, and records paths and headers."""

    def do_GET(self):
        login = self.headers.get("Authorization", "")
        known = base64.b64decode(login[6:]).decode() if login.startswith("Basic ") else login
        self.server.seen.append(f"{self.path} {known} {self.headers.get('Proxy-Authorization', '')}")
        body = self.server.files.get(self.path.rpartition("/")[2])
        self.send(200 if body else 404, body or b"")

    do_HEAD = do_CONNECT = do_GET


@pytest.fixture
def stranger(clean, monkeypatch):
    """The stranger's server. `url` contains all canaries, which are set. `index` is the user's own, with a login."""
    own = Index([package("bentoml", "1.4.39"), package("b", "1.0"), package("other", "1.0")])
    own.credentials = "me:CANARYLOGIN"
    with running(Recorder, seen=[], files={}) as server, serve(own) as address:
        for name in CANARIES:
            value = str(clean / f"CANARY{name}") if name in PATHS else f"CANARY{name}"
            if name.endswith(("INDEX", "URL")):
                value = address.replace("//", "//me:CANARYLOGIN@")
            monkeypatch.setenv(name, value)
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://me:CANARYPROXY@127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,CANARY")
        for name in ("HOME", "UV_FIND_LINKS"):
            monkeypatch.setenv(name, str(clean / f"CANARY{name}"))
            (clean / f"CANARY{name}").mkdir()
        Path(os.environ["NETRC"]).write_text("default login me password CANARYNETRC\n")
        server.index = own
        server.url = f"http://{server.host}/got/{'/'.join(f'${{{name}}}' for name in CANARIES)}"
        wheels = Index([package("a", "1.0", f"b @ {server.url}/b-1.0-py3-none-any.whl"), package("c", "1.0")])
        server.files |= wheels.files | own.files
        server.a, server.c = (f"{each} @ http://{server.host}/{each}-1.0-py3-none-any.whl" for each in "ac")
        yield server


HEAD = '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = [{}]\n'
BENTO = "[tool.bentoml.build]\nservice = 'service:Svc'\n"
DOORS = {
    "requirement": (HEAD.format('"b @ {url}/b-1.0-py3-none-any.whl"'), ""),
    "metadata": (HEAD.format('"{a}"'), ""),
    "dependency-metadata": (HEAD.format('"{c}"'), 'dependency-metadata = [{{name = "c", version = "1.0", requires-dist = ["b @ {url}/b-1.0-py3-none-any.whl"]}}]'),
    "constraint": (HEAD.format('"b"'), 'constraint-dependencies = ["b @ {url}/b-1.0-py3-none-any.whl"]'),
    "override": (HEAD.format('"b"'), 'override-dependencies = ["b @ {url}/b-1.0-py3-none-any.whl"]'),
    "build constraint": (HEAD.format('"b"'), 'build-constraint-dependencies = ["b @ {url}/b-1.0-py3-none-any.whl"]'),
    "index": (HEAD.format('"b"'), 'index = [{{name = "corp", url = "{url}/simple", default = true}}]'),
    "index-url": (HEAD.format('"b"'), 'index-url = "{url}/simple"'),
    "find-links": (HEAD.format('"b"'), 'find-links = ["{url}/links"]'),
    "git": (HEAD.format('"b @ git+{url}/b.git"'), ""),
    "source": (HEAD.format('"b"'), 'sources = {{b = {{url = "{url}/b-1.0-py3-none-any.whl"}}}}'),
    "git source": (HEAD.format('"b"'), 'sources = {{b = {{git = "{url}/b.git"}}}}'),
    "fragment": (HEAD.format('"{a}#${{UV_INDEX_CORP_PASSWORD}}"'), ""),
}  # fmt: skip


@pytest.mark.parametrize("command", ["build", "lock"])
@pytest.mark.parametrize("door", DOORS)
def test_no_variable_reaches_a_server_of_the_project(stranger, clean, capfd, door, command):
    project, settings = (text.format(url=stranger.url, a=stranger.a, c=stranger.c) for text in DOORS[door])
    for form in ("uv.lock", "requirements"):
        directory = clean / form
        directory.mkdir()
        bentoml = "" if form == "requirements" else '"bentoml==1.4.39", '
        text = project.replace("[{", "[").replace("dependencies = [", f"dependencies = [{bentoml}")
        (directory / "pyproject.toml").write_text(f"{text}{BENTO}[tool.uv]\n{settings}\n")
        (directory / "service.py").write_text(SERVICE)
        main([command, str(directory)])
        assert not [path for path in directory.iterdir() if "${" in path.read_text() and "lock" in path.name]
    shown = re.sub(f"CANARY({'|'.join(PATHS)})", "", "".join(capfd.readouterr()))  # uv names the cache
    assert not [text for text in [*stranger.seen, shown] if "CANARY" in text]
    if door == "metadata":
        assert any("/got/" in text for text in stranger.seen), shown


@pytest.mark.parametrize("function", [update, normalize])
def test_no_variable_reaches_a_server_of_a_requirement_of_a_target(stranger, clean, function):
    if function is update:
        update(Project([stranger.a], ">=3.9"), None, uv=Path(UV), origin="x")
    else:
        import hashlib

        digest = hashlib.sha256(stranger.files["a-1.0-py3-none-any.whl"]).hexdigest()
        (clean / "requirements.txt").write_text(f"{stranger.a} --hash=sha256:{digest}\n")
        normalize(clean / "requirements.txt", uv=Path(UV), requires_python=">=3.9")
    assert any("/got/" in text for text in stranger.seen)
    assert not [text for text in stranger.seen if "CANARY" in text]


SPELLINGS = (
    *("b @ {host}/got/{v}/b-1.0-py3-none-any.whl", "b @ {host}/got?{v}/b-1.0-py3-none-any.whl", "b @ git+{host}/got/{v}"),
    *("b @ git+{host}/got@{v}", "b @ git+{host}/got#subdirectory={v}", "b[x] @ {host}/got/{v}/b-1.0.tar.gz"),
    *("b @ {host}/got/b-1.0-py3-none-any.whl#{v}", "b @ {auth}/got/b-1.0-py3-none-any.whl", "b @ file:///{v}/b-1.0.tar.gz"),
    *("b @ {host}/got/{v}/b-1.0.zip ; python_version > '3'", "b@{host}/got/{v}/b-1.0-py3-none-any.whl", "b @ {v}"),
    *("b @ {host}/got/$$HOME/%HOME%/{v}/b-1.0.zip", "b @ {host}/got/{lower}/b-1.0.zip", "b @ {host}/got/${{{v}}}/b-1.0.zip"),
)  # fmt: skip


@pytest.mark.parametrize("builds", [False, True])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_in_metadata_sends_a_variable(stranger, clean, spelling, builds):
    values = "/".join(f"${{{name}}}" for name in CANARIES)
    lower = "/".join(f"${{{name}}}" for name in ("https_proxy", "http_proxy", "no_proxy"))
    host = f"http://{stranger.host}"
    text = spelling.format(host=host, v=values, lower=lower, auth=host.replace("//", f"//{values.replace('/', '')}@"))
    stranger.files |= Index([package("a", "1.0", text)]).files
    done = uv.start(uv.Run([*COMPILE[:-2], "-"], uv.Access(builds=builds), config="directory", text=f"{stranger.a}\n"))
    shown = re.sub(f"CANARY({'|'.join(PATHS)})", "", done.stderr)
    assert not [text for text in [*stranger.seen, shown] if "CANARY" in text]
    assert any("a-1.0" in text for text in stranger.seen)


@pytest.mark.parametrize("keyring", ["disabled", "subprocess"])
def test_what_uv_knows_has_no_data_of_the_user(stranger, clean, monkeypatch, keyring):
    """Each variable whose name uv replaces, for each access. A keyring requires the user of an index of a target."""
    monkeypatch.setenv("UV_KEYRING_PROVIDER", keyring)
    python, code = Path(sys.executable).absolute(), "import os, sys; print(dict(os.environ), sys.argv[1:])"
    (clean / "uv").write_text(f"#!/bin/sh\nexec {shlex.quote(str(python))} -S -c '{code}' \"$@\"\n")
    (clean / "uv").chmod(0o755)
    own = ["UV_INDEX_CORP_USERNAME"] if keyring == "subprocess" else []
    for access in (
        uv.Access(),
        uv.Access(builds=True),
        uv.Access(is_safe=False),
        uv.Access([("corp", "http://127.0.0.1:9")], True),
    ):
        shown = uv.start(uv.Run([str(clean / "uv"), "pip", "compile"], access, attempts=("",))).stdout
        variables = ast.literal_eval(shown[: shown.index("} [") + 1])
        assert not [
            name
            for name, value in variables.items()
            if "CANARY" in value and re.fullmatch("[A-Z0-9_]+", name) and not (access.is_trusted and name in own)
        ]
        assert "me:CANARY" not in shown[shown.index("} [") :]
        assert (os.environ["PATH"] in variables["PATH"]) == access.builds


def by_variables(home, address, monkeypatch):
    monkeypatch.setenv("UV_INDEX_CORP_USERNAME", "alice")
    monkeypatch.setenv("UV_INDEX_CORP_PASSWORD", 's3"c r\\et')
    monkeypatch.setenv("UV_INDEX", f"corp={address}")


def by_address(home, address, monkeypatch):
    monkeypatch.setenv("UV_INDEX_URL", address.replace("//", "//alice:s3%22c%20r%5Cet@"))


def by_default_index(home, address, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", address.replace("//", "//alice:s3%22c%20r%5Cet@"))


def by_lowercase_config(home, address, monkeypatch):
    (home / ".config/uv").mkdir(parents=True)
    url = address.replace("//", "//alice:s3%22c%20r%5Cet@")
    (home / ".config/uv/uv.toml").write_text(f'[[index]]\nurl = "{url}"\ndefault = true\n')


def by_named_config(home, address, monkeypatch):
    by_variables(home, address, monkeypatch)
    monkeypatch.delenv("UV_INDEX")
    monkeypatch.setenv("XDG_CONFIG_HOME", f"{home}/elsewhere")
    (home / "elsewhere/uv").mkdir(parents=True)
    (home / "elsewhere/uv/uv.toml").write_text(f'[[index]]\nname = "corp"\nurl = "{address}"\n')


def by_config_file(home, address, monkeypatch):
    by_variables(home, address, monkeypatch)
    monkeypatch.delenv("UV_INDEX")
    monkeypatch.setenv("UV_CONFIG_FILE", f"{home}/mine.toml")
    (home / "mine.toml").write_text(f'[[index]]\nname = "corp"\nurl = "{address}"\n')


def by_netrc(home, address, monkeypatch):
    monkeypatch.setenv("UV_INDEX_URL", address)
    (home / ".netrc").write_text(
        'machine 127.0.0.1 login alice password "s3\\"c r\\\\et"\ndefault login x password y\n'
    )


def by_other_netrc(home, address, monkeypatch):
    by_netrc(home, address, monkeypatch)
    (home / ".netrc").rename(home / "other")
    monkeypatch.setenv("NETRC", f"{home}/other")


def by_store(home, address, monkeypatch):
    monkeypatch.setenv("UV_INDEX_URL", address)
    words = ["auth", "login", address.removesuffix("/simple"), "--username", "alice", "--password", 's3"c r\\et']
    subprocess.run([UV, *words], env={"HOME": str(home), "PATH": "/usr/bin:/bin"}, check=True, capture_output=True)


def by_keyring(home, address, monkeypatch):
    """A stand-in for the program, which reads a variable of the user, and runs another program of the user."""
    (home / "bin").mkdir()
    (home / "bin/keyring").write_text('#!/bin/sh\n[ "$3" = alice ] && helper "$OF_KEYRING"\n')
    (home / "bin/helper").write_text('#!/bin/sh\nprintf "%s\\n" "$1"\n')
    for name in ("keyring", "helper"):
        (home / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("OF_KEYRING", 's3"c r\\et')
    monkeypatch.setenv("UV_KEYRING_PROVIDER", "subprocess")
    monkeypatch.setenv("UV_INDEX_URL", address.replace("//", "//alice@"))


def by_keyring_and_variable(home, address, monkeypatch):
    by_keyring(home, address, monkeypatch)
    monkeypatch.setenv("UV_INDEX", f"corp={address}")
    monkeypatch.setenv("UV_INDEX_CORP_USERNAME", "alice")
    monkeypatch.delenv("UV_INDEX_URL")


def by_token(home, address, monkeypatch):
    monkeypatch.setenv("UV_INDEX_URL", address.replace("//", "//TOKEN@"))


WAYS = (by_variables, by_address, by_default_index, by_lowercase_config, by_named_config, by_config_file, by_netrc)
WAYS += (by_other_netrc, by_store, by_keyring, by_keyring_and_variable, by_token)


@pytest.mark.parametrize("builds", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_logins_reach_the_index_of_the_user(clean, monkeypatch, way, builds):
    index = Index([package("mine", "1.0")])
    index.credentials = "TOKEN:" if way is by_token else 'alice:s3"c r\\et'
    with serve(index) as address:
        way(clean / "home", address, monkeypatch)
        for more in ([], ["--no-cache"]):
            done = uv.start(uv.Run([*COMPILE, *more], uv.Access(builds=builds), config="directory", text="mine\n"))
            assert FILE in uv.checked(done), done.stderr
        assert (clean / "cache").is_dir()


def test_two_logins_for_one_server_are_for_their_paths(clean, monkeypatch):
    """As for tokens of projects in GitLab; netrc has one login for a host."""
    with running(Recorder, seen=[], files={}) as server:
        monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
        monkeypatch.setenv("UV_INDEX", f"http://one:1@{server.host}/p/1/simple http://two:2@{server.host}/p/2/simple")
        uv.start(uv.Run(COMPILE, uv.Access(), config="directory", text="mine\n"))
        logins = {text.partition(" ")[0]: text.split()[1:] for text in server.seen}
    assert logins == {
        "/p/1/simple/mine/": ["one:1"],
        "/p/2/simple/mine/": ["two:2"],
        **{k: v for k, v in logins.items() if "/p/" not in k},
    }


@pytest.mark.parametrize("unsafe", ["http://index.example/simple", "http:/127.0.0.1", " http://index.example"])
def test_no_login_is_given_if_an_index_is_not_safe(clean, monkeypatch, unsafe):
    from rules_bento.base.net.secret_hosts import are_safe

    index = Index([package("mine", "1.0")])
    index.credentials = 'alice:s3"c r\\et'
    with serve(index) as address:
        for way in (by_variables, by_netrc):
            way(clean / "home", address, monkeypatch)
        access = uv.Access(is_safe=are_safe([unsafe], ()))
        assert "401" in uv.start(uv.Run(COMPILE, access, config="directory", text="mine\n")).stderr


def test_the_remedy_of_a_missing_login_helps(clean, monkeypatch):
    """It names the variables of each index with a name."""
    index = Index([package("mine", "1.0")])
    index.credentials = "alice:s3cret"
    with serve(index) as address:
        monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
        words = [*COMPILE, "--index", f"my-corp={address}"]
        errors = uv.start(uv.Run(words, uv.Access(), config="directory", text="mine\n")).stderr
        assert uv.REFUSED.search(errors)
        remedy = uv.login_remedy([("my-corp", address), ("", "http://h/simple")])
        variables = f"UV_INDEX=my-corp={address}, UV_INDEX_MY_CORP_USERNAME, and UV_INDEX_MY_CORP_PASSWORD"
        assert remedy == f"Add the login for the host of the index to ~/.netrc. Or set {variables}."
        for name, value in (
            ("", f"my-corp={address}"),
            ("_MY_CORP_USERNAME", "alice"),
            ("_MY_CORP_PASSWORD", "s3cret"),
        ):
            monkeypatch.setenv(f"UV_INDEX{name}", value)
        assert uv.checked(uv.start(uv.Run(COMPILE, uv.Access(), config="directory", text="mine\n")))


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_gets_its_login(clean, monkeypatch, name):
    with running(Recorder, seen=[], files={}) as server:
        monkeypatch.setenv(name, f"http://me:pw@{server.host}")
        monkeypatch.setenv("UV_INDEX_URL", "http://index.example/simple")
        uv.start(uv.Run(COMPILE, uv.Access(), config="directory", text="mine\n"))
        monkeypatch.setenv("NO_PROXY", "index.example")
        uv.start(uv.Run([*COMPILE, "--no-cache"], uv.Access(), config="directory", text="other\n"))
    login = base64.b64encode(b"me:pw").decode()
    assert server.seen == [f"http://index.example/simple/mine/  Basic {login}"] * len(server.seen)
    assert server.seen


def test_settings_of_the_user_apply(clean, monkeypatch):
    index = Index([package("mine", "1.0"), package("mine", "2.0")])
    index.uploaded = {"2.0": "2025-01-01T00:00:00Z"}
    (clean / "links").mkdir()
    (clean / "links" / FILE).write_bytes(index.files[FILE])

    def compile_(*more):
        return uv.start(
            uv.Run([*COMPILE[:-2], *more, "-"], uv.Access(), config="directory", text="mine\n", attempts=uv.CACHE_FIRST)
        )

    with serve(index) as address:
        monkeypatch.setenv("UV_INDEX_URL", address)
        monkeypatch.setenv("UV_OFFLINE", "1")
        assert compile_().returncode
        assert index.requests == []
        monkeypatch.delenv("UV_OFFLINE")
        assert compile_().stdout.strip() == "mine==2.0"
        monkeypatch.setenv("UV_EXCLUDE_NEWER", "2022-01-01T00:00:00Z")
        assert compile_().stdout.strip() == "mine==1.0"
        monkeypatch.delenv("UV_EXCLUDE_NEWER")
        monkeypatch.setenv("UV_FIND_LINKS", str(clean / "links"))
        assert compile_("--no-index").stdout.strip() == "mine==1.0"


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("form", ["--default-index={}", "--find-links={}", "mine @ {}/401.zip", "mine @ git+{}/m.git"])
def test_only_the_status_of_an_answer_is_a_refusal(form, status, clean):
    """The port and the path are of the same form as a status."""

    class Refusing(Handler):
        def do_GET(self):
            self.send(status, b"403")

        do_HEAD = do_GET

    with running(Refusing) as server:
        text = form.format(f"http://{server.host}/403")
        options, lines = ([text], "mine") if text.startswith("--") else (["--no-index"], text)
        words = [*COMPILE[:-1], *options, "-"]
        done = uv.start(uv.Run(words, uv.Access(), config="directory", text=f"{lines}\n", attempts=("",)))
    assert done.returncode
    assert bool(uv.REFUSED.search(done.stderr)) is (status != 404)


def test_git_and_its_programs_run_with_the_settings_of_the_user(clean, monkeypatch):
    """A credential helper that ~/.gitconfig names, which is on PATH and reads a variable."""
    (clean / "bin").mkdir()
    (clean / "bin/git-credential-mine").write_text('#!/bin/sh\necho username=alice\necho "password=$OF_GIT"\n')
    (clean / "bin/git-credential-mine").chmod(0o755)
    (clean / "home/.gitconfig").write_text("[credential]\n\thelper = mine\n")
    monkeypatch.setenv("PATH", f"{clean}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("OF_GIT", "s3cret")

    class Repository(Recorder):
        def do_GET(self):
            super().do_GET() if self.headers.get("Authorization") else self.send(
                401, b"", {"WWW-Authenticate": "Basic"}
            )

    with running(Repository, seen=[], files={}) as server:
        text = f"mine @ git+http://{server.host}/mine.git\n"
        uv.start(uv.Run([*COMPILE[:-2], "-"], uv.Access(), config="directory", text=text))
    assert any("alice:s3cret" in text for text in server.seen)


def test_netrc_for_all_hosts_does_not_reach_git(stranger, clean, monkeypatch):
    Path(os.environ["NETRC"]).rename(Path(os.environ["HOME"]) / ".netrc")

    class Repository(Recorder):
        def do_GET(self):
            super().do_GET()

        def send(self, status, body=b"", headers=None):
            super().send(401, b"", {"WWW-Authenticate": "Basic"})

    with running(Repository, seen=[], files={}) as server:
        uv.start(
            uv.Run(
                [*COMPILE[:-2], "--no-index", "-"],
                uv.Access(),
                config="directory",
                text=f"m @ git+http://{server.host}/m.git\n",
            )
        )
    assert server.seen
    assert not [text for text in server.seen if "CANARY" in text]


PLANTED = {
    "uv.toml": {"uv.toml": 'extra-index-url = ["http://{0}/simple"]\n'},
    "pyproject.toml": {"pyproject.toml": '[tool.uv]\nextra-index-url = ["http://{0}/simple"]\n'},
    "project": {"pyproject.toml": '[project]\nname = "x"\nversion = "1"\n[tool.uv]\nextra-index-url = ["http://{0}/simple"]\n'},
    "workspace": {"pyproject.toml": '[tool.uv]\nextra-index-url = ["http://{0}/simple"]\n[tool.uv.workspace]\nmembers = ["*/*", "*"]\n'},
    "environment": {".venv/bin/python": "#!/bin/sh\ntouch {1}\nexit 1\n", ".venv/pyvenv.cfg": "home = /usr/bin\n"},
    "versions": {".python-version": "{2}/python\n", "python": "#!/bin/sh\ntouch {1}\nexit 1\n", ".python-versions": "{2}/python\n"},
}  # fmt: skip


def find_interpreter(scratch):
    with pytest.raises(BentoError):
        native_bytecode._start_of_uv(SimpleNamespace(scratch=scratch), "3.7", "unchecked-hash")


STARTS = {
    "find": find_interpreter,
    "compile": lambda _: uv.start(uv.Run(COMPILE, uv.Access(), config="directory", text="mine\n")),
    "compile without configuration": lambda _: uv.start(uv.Run(COMPILE, uv.Access(), text="mine\n")),
    "version": lambda _: uv.start(uv.Run([UV, "--version"])),
    "environment": lambda scratch: uv.start(uv.Run([UV, "venv", "--python", sys.executable, f"{scratch}/new"])),
    "update": lambda _: update(Project(["a"], ">=3.9"), None, uv=Path(UV), origin="x"),
}


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("depth", [0, 2])
def test_files_in_parents_of_the_temporary_directory_are_not_read(clean, monkeypatch, planted, start, depth):
    shared = clean / "tmp" / "/".join("ab"[:depth])
    shared.mkdir(parents=True)
    (clean / "tmp").chmod(0o1777)
    canary = clean / "canary"
    monkeypatch.setenv("TMPDIR", str(shared))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:9/simple")
    with running(Recorder, seen=[], files={}) as server:
        for name, text in PLANTED[planted].items():
            path = clean / "tmp" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.format(server.host, canary, clean / "tmp"))
            path.chmod(0o755)
            with suppress(OSError):  # Bazel's sandbox has only one user
                os.chown(path, 65534, 65534)
        with suppress(BentoError):
            STARTS[start](shared)
    assert server.seen == []
    assert not canary.exists()


@pytest.mark.parametrize("text", ['index = ["x"]', "index = 3", "index = [3]", "index = [{url = 3}]", "cache-dir = 3"])
def test_an_invalid_configuration_of_the_user_is_named(clean, text):
    (clean / "home/.config/uv").mkdir(parents=True)
    (clean / "home/.config/uv/uv.toml").write_text(f"{text}\n")
    with pytest.raises(BentoError, match=r"uv\.toml: .*expected .*, got .*Correct the file"):
        uv.start(uv.Run(COMPILE, uv.Access(), config="directory", text="mine\n"))


def test_nothing_of_a_run_remains(clean, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(clean / "home"))
    monkeypatch.setenv("UV_INDEX", "http://alice:s3cret@127.0.0.1:9/simple")
    uv.start(uv.Run(COMPILE, uv.Access(), config="directory", text="mine\n"))
    assert [*(clean / "home").iterdir()] == []
