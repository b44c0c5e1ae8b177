"""`bento image` with `--apt`, `--file`, and `--env`, and their table in pyproject.toml."""

import json
import platform
import random
import shutil
import string
import subprocess
import sys
import tarfile

import pytest
from bento_cli.cli import status
from bento_cli.projects import image_table
from bento_cli.projects.uv_project import read_tables
from bento_cli.sharing import debian_lock, debian_packages, extra_files, native_build
from rules_bento.base.errors import BentoError
from rules_bento.images.debian import any_base, ld_cache
from rules_bento.images.registry.blob_sources import FileSource, Pushable
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.push_to_registry import push
from rules_bento.images.registry.reference import Reference

from tests.debian.made_debs import make_deb, member
from tests.helpers.made_layers import required
from tests.sharing.debian_support import STANZA, STATUS, SYSTEM, build, layer, layer_owners, project
from tests.sharing.image_support import add, locked, make_base, read, settings_of

__all__ = ["project"]
MINOR = platform.python_version().rpartition(".")[0]
RANDOM = "".join(random.Random(5).choices(string.ascii_letters + string.digits, k=36))


def layer_files(layout, number):
    with layer(layout, number) as tar:
        return {each.name: tar.extractfile(each).read() if each.isfile() else each.linkname for each in tar}


def test_packages_replace_older_ones_and_follow_the_settings_of_the_base(project, mirror, bento, tmp_path):
    mirror(project, ["old", "vim"], "libvim", "old", "vim")
    words = ["--apt", "vim", "--apt", "old"]
    build(bento, project, tmp_path, *words)
    files = layer_files(tmp_path / "out", 1)
    assert (files["usr/bin/vim"], files["usr/lib/libvim.so.1"]) == (b"vim", b"library")
    assert (files["usr/share/old/kept"], files["usr/share/old/.wh.gone"]) == (b"2", b"")
    assert "usr/share/man/vim.1" not in files
    assert files["etc/alternatives/editor"] == "/usr/bin/vim" and "usr/bin/editor" not in files
    status = files["var/lib/dpkg/status"].decode()
    assert [status.count(f"Package: {name}\n") for name in ("libc6", "libvim", "old", "vim")] == [1] * 4
    assert (
        "Version: 2.0" in status
        and "Package: old\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0" not in status
    )
    assert "debian.lock.json" not in str(read(tmp_path / "out")[2])
    shutil.rmtree(tmp_path / "mirror")  # the packages are in the cache
    build(bento, project, tmp_path, *words, out="again")
    assert Layout.open(tmp_path / "again").find().descriptor == Layout.open(tmp_path / "out").find().descriptor


def test_bytecode_of_the_base_is_not_for_newer_modules(project, mirror, bento, tmp_path):
    """Of a package, which replaces a module of the standard library. Other packages don't affect the bytecode."""
    module = f"usr/lib/python{MINOR}/re.py"
    of_old = {module: b"X = 1\n", "var/lib/dpkg/info/old.list": f"/{module}\n".encode()}
    of_python = {"usr/bin/python3": f"python{MINOR}", f"usr/bin/python{MINOR}": b"\x7fELF"}
    files = {path: data for path, data in SYSTEM.items() if "python" not in path} | of_old | of_python
    make_base(tmp_path / "base", files, ("PATH=/usr/bin", f"PYTHON_VERSION={platform.python_version()}"))
    make_deb(tmp_path / "mirror/pool/main", "old", [member(module, data=b"X = 2\n")], version="2.0")
    for name, names, has_layer in (("vim", ["libvim", "vim"], True), ("old", ["old"], False)):
        mirror(project, [name], *names)
        build(bento, project, tmp_path, "--apt", name, f"--bytecode-python={sys.executable}", out=name)
        assert (module.replace("re.py", "__pycache__") in str(read(tmp_path / name)[2])) is has_layer


def test_a_layer_of_packages_comes_from_a_registry(
    project, mirror, bento, server, registries, progress, tmp_path, monkeypatch
):
    """Another machine needs neither the packages nor the layers of the base."""
    mirror(project, ["vim"], "libvim", "vim")
    base = f"{server.host}/base:v1"
    layout = Layout.open(tmp_path / "base")
    blobs = {each.digest: FileSource(layout.blob(each.digest)) for each in layout.find().blobs()}
    push(Pushable(layout.find(), [], blobs), [Reference.parse(base)], registries, progress)
    words = ["image", project, "--base", base, "--insecure", server.host, "-t", f"{server.host}/web:1", "--apt", "vim"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
    bento(*words, "--push", "--cache-to", f"{server.host}/cache")
    shutil.rmtree(tmp_path / "mirror")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    told = bento(*words, "--push", "--cache-from", f"{server.host}/cache")
    assert "1 of 1 layers" in told
    assert not [*(tmp_path / "second").glob("**/debs/*")]


def test_packages_that_a_bento_requires(mirror, bento, store, local, wheels, tmp_path):
    """The lock is among the Bento's files."""
    add(store, tmp_path, locked(wheels, options="--no-index"), docker={"system_packages": ["libc6", "vim"]})
    mirror(store.bentos.get("nat").path / "src", ["vim"], "libvim", "vim")
    words = ["--base", f"oci:{make_base(tmp_path / 'base', SYSTEM)}", "--output", f"oci:{tmp_path / 'out'}"]
    bento("image", "nat", *words, "--no-verify")
    assert layer_files(tmp_path / "out", 1)["usr/bin/vim"] == b"vim"


@pytest.mark.parametrize(
    ("requested", "locked", "problem"),
    [
        (["vim"], ["vim"], "vim requires libvim, which neither the base nor the lock has"),
        (["ed"], ["vim"], "the lock is for ed, not for vim. Run `bento lock"),
        (["vim"], ["libc6"], "the lock has libc6 2.36-10, but the base has 2.36-9. Run `bento lock"),
    ],
)
def test_a_lock_that_does_not_fit(project, mirror, bento, tmp_path, requested, locked, problem):
    mirror(project, requested, *locked)
    told = build(bento, project, tmp_path, "--apt", "vim", code=1)
    assert problem in told
    assert "Run" not in problem or f"--apt vim --base oci:{tmp_path}/base`." in told


def test_another_file_than_the_locked_one(project, mirror, bento, tmp_path):
    mirror(project, ["vim"], "libvim", "vim")
    (tmp_path / "mirror/pool/main/vim_1.0_amd64.deb").write_bytes(b"!<arch>\n")
    assert "cannot download vim 1.0: " in build(bento, project, tmp_path, "--apt", "vim", code=1)


def test_a_base_of_another_distribution(project, mirror, bento, tmp_path):
    shutil.rmtree(tmp_path / "base")
    make_base(tmp_path / "base")
    mirror(project, ["vim"], "libvim", "vim")
    assert "Use a base of Debian" in build(bento, project, tmp_path, "--apt", "vim", code=1)


def test_files_and_variables(project, bento, tmp_path):
    (tmp_path / "elsewhere/dist/js").mkdir(parents=True)
    for name, text in (("index.html", "<p>"), ("js/a.js", "1"), ("tool", "#!/bin/sh")):
        (tmp_path / "elsewhere/dist" / name).write_text(text)
    (tmp_path / "elsewhere/dist/tool").chmod(0o755)
    (tmp_path / "elsewhere/dist/link.js").symlink_to("js/a.js")
    words = ["--file", f"{tmp_path}/elsewhere/dist=/srv/web", "--file", f"{tmp_path}/elsewhere/dist/tool=/var/run/"]
    build(bento, project, tmp_path, *words, "--env", "MODE=a=b")
    files = layer_files(tmp_path / "out", 2)
    assert files["srv/web/js/a.js"] == b"1" and files["srv/web/link.js"] == "js/a.js"
    assert files["run/tool"] == b"#!/bin/sh"  # /var/run is a link of the base
    assert "MODE=a=b" in read(tmp_path / "out")[0]["config"]["Env"]


def test_directories_above_a_file_keep_their_modes_and_owners(project, bento, tmp_path):
    """Otherwise, one file in /tmp would forbid everyone to write to /tmp."""
    words = [f"{project}/main.py={path}" for path in ("/home/bentoml/.config/x", "/tmp/x", "/var/run/app/x", "/srv/x")]
    build(bento, project, tmp_path, *(word for path in words for word in ("--file", path)))
    directories = {path: owned for path, owned in layer_owners(tmp_path / "out", 2).items() if not path.endswith("x")}
    user, root = (0o755, 1034, 1034), (0o755, 0, 0)
    assert directories == {
        "home": root,
        "home/bentoml": user,
        "home/bentoml/.config": user,
        "run": (0o711, 0, 0),
        "run/app": root,
        "srv": root,
        "tmp": (0o1777, 0, 0),
    }


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--file", "main.py"], "--file: expected SOURCE=PATH, got 'main.py'. Write an absolute path"),
        (["--file", "main.py=relative"], "expected SOURCE=PATH, got"),
        (["--file", "main.py=/a/../b"], "expected SOURCE=PATH, got"),
        (["--file", "main.py=/proc/x"], "expected SOURCE=PATH, got"),
        (["--file", "missing=/x"], "no such file or directory"),
        (["--file", "{project}/main.py=/usr/bin/ed"], "replaces a file of"),
        (["--file", "{project}/main.py=/bin/ed"], "add --replace /bin/ed"),
        (["--file", "{project}/main.py=/x", "--file", "{project}/pyproject.toml=/x"], "/x is added twice"),
        (["--file", "{tmp}/key.pem=/srv/key.pem"], "secret"),
        (["--env", f"TOKEN=ghp_{RANDOM}"], "secret"),
        (["--file", "{tmp}/tree=/srv"], "is a link to a file outside of the directory"),
    ],
)
def test_what_cannot_be_added(project, bento, tmp_path, words, problem):
    (tmp_path / "key.pem").write_text(f"TOKEN = 'ghp_{RANDOM}'\n")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to("/etc/hostname")
    words = [word.format(project=project, tmp=tmp_path) for word in words]
    assert problem in build(bento, project, tmp_path, *words, code=1)


def test_the_user_owns_a_writable_directory_and_the_files_in_it(project, bento, tmp_path):
    build(bento, project, tmp_path)
    places = ["/app/_main/web/", "/app/_main/logs/new", "/var/run/app", "/srv/data", "/home/bentoml"]
    words = ["--file", f"{project}/main.py=/srv/data/in/x", "--file", f"{project}/main.py=/srv/database"]
    build(bento, project, tmp_path, *words, *(word for path in places for word in ("--writable", path)), out="writable")
    user, root = (0o755, 1034, 1034), (0o755, 0, 0)
    file, owned = (0o644, 0, 0), (0o644, 1034, 1034)
    added = ("srv", "srv/data", "srv/data/in", "srv/data/in/x", "srv/database")
    assert [layer_owners(tmp_path / "writable", 2)[path] for path in added] == [root, user, user, owned, file]
    before, after = layer_owners(tmp_path / "out", 2), layer_owners(tmp_path / "writable", 3)
    assert before["app/_main/web/index.html"] == file
    assert after == before | {"app/_main/web": user, "app/_main/web/index.html": owned}
    assert layer_owners(tmp_path / "writable", 4) == {
        **dict.fromkeys(("app", "app/_main", "app/_main/logs", "home", "srv"), root),
        **dict.fromkeys(("app/_main/logs/new", "app/_main/web", "home/bentoml", "run/app", "srv/data"), user),
        "run": (0o711, 0, 0),
    }


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("data", "expected PATH, got 'data'"),
        ("/", "expected PATH, got '/'"),
        ("/srv/../etc", "expected PATH, got '/srv/../etc'. Write an absolute path"),
        ("/proc", "expected PATH, got"),
        ("/sys/x", "expected PATH, got"),
        ("/tmp", "/tmp is in oci:"),
        ("/usr/share", "/usr/share is in oci:"),
        ("/bin", "/bin is a file or a link of oci:"),
        ("/usr/bin/ed/x", "/usr/bin/ed is a file or a link of oci:"),
        ("/app/.venv/var", "the image's user already owns /app/.venv. Remove the value."),
        ("/app/_main/main.py", "/app/_main/main.py is a file or a link. Write the path of a directory."),
        ("/app/_main/main.py/x", "/app/_main/main.py is a file"),
        ("/srv/x", "/srv/x is a file"),
    ],
)
def test_what_cannot_be_writable(project, bento, tmp_path, path, problem):
    words = ["--file", f"{project}/main.py=/srv/x", "--writable", path]
    assert problem in build(bento, project, tmp_path, *words, code=1)


SITE = "/app/.venv/lib/python3.11/site-packages"  # as in the base
CODE, DEV, PROD = "/app/_main", (b"stage: dev", 0), (b"stage: prod", 0)


def rejected(path, problem, advice=""):
    return f"{path} {problem}", f"Choose another path{advice}."


# `SOURCE=PATH` is of --file, `+` of --replace, `!` of --writable, and `-` of --exclude; then, files of the table.
OPTIONS = {"+": "--replace=", "!": "--writable=", "-": "--exclude="}
PLACED = [
    # files of the project
    ([f"prod={CODE}/config"], {}, rejected(f"{CODE}/config", "replaces a file of the code", f", or add --replace {CODE}/config")),
    ([f"prod={CODE}/config", f"+{CODE}/config"], {}, {f"{CODE}/config": PROD, f"{CODE}/main.py": (b"", 0)}),
    ([f"prod={CODE}/config", f"+{CODE}/config", f"!{CODE}/"], {}, {f"{CODE}/config": (b"stage: prod", 1034), f"{CODE}/prod": (b"stage: prod", 1034)}),
    ([], {f"{CODE}/config": "prod"}, ("tool.bento.image.files ", "replaces a file of the code")),
    ([f"+{CODE}/config"], {f"{CODE}/config": "prod"}, {f"{CODE}/config": PROD}),
    ([f"prod={CODE}/config", f"+{CODE}/config"], {f"{CODE}/config": "main.py"}, {f"{CODE}/config": PROD}),
    ([f"prod={CODE}/new"], {}, {f"{CODE}/new": PROD, f"{CODE}/config": DEV}),
    ([f"prod={CODE}/web", f"+{CODE}/web"], {}, rejected(f"{CODE}/web", "replaces a directory of the code")),
    (["prod=/app", "+/app"], {}, rejected("/app", "replaces a directory of the environment")),
    ([f"prod={CODE}/main.py/x"], {}, rejected(f"{CODE}/main.py/x", f"is below {CODE}/main.py of the code")),
    ([f"prod={CODE}/current/x"], {}, rejected(f"{CODE}/current/x", f"is below {CODE}/current of the code")),
    ([f"prod={CODE}/linked"], {}, rejected(f"{CODE}/linked", "replaces a file of the code", f", or add --replace {CODE}/linked")),
    ([f"prod={CODE}/linked", f"+{CODE}/linked"], {}, {f"{CODE}/linked": PROD, f"{CODE}/config": DEV}),
    ([f"other={CODE}/web"], {}, rejected(f"{CODE}/web/index.html", "replaces a file of the code", f", or add --replace {CODE}/web/index.html")),
    ([f"other={CODE}/web", f"+{CODE}/web/index.html"], {}, {f"{CODE}/web/index.html": (b"<b>", 0), f"{CODE}/web/more": (b"", 0)}),
    ([f"!{CODE}/current/x"], {}, (f"{CODE}/current is a file or a link. Write the path of a directory.",)),
    # files of packages
    ([f"prod={SITE}/tiny/__init__.py"], {}, rejected(f"{SITE}/tiny/__init__.py", "replaces a file of the package tiny", ", or add --exclude tiny:/tiny/__init__.py")),
    ([f"prod={SITE}/tiny/__init__.py", f"+{SITE}/tiny/__init__.py"], {}, rejected(f"{SITE}/tiny/__init__.py", "replaces a file of the package tiny", ", or add --exclude tiny:/tiny/__init__.py")),
    ([f"prod={SITE}/tiny/__init__.py", "-tiny:/tiny/__init__.py"], {}, {f"{SITE}/tiny/__init__.py": PROD}),
    (["prod=/app/.venv/bin/flask"], {}, rejected("/app/.venv/bin/flask", "replaces a file of the package flask", ", or add --exclude flask:/bin/flask")),
    (["prod=/app/.venv/bin/flask", "-flask:/bin/flask"], {}, {"/app/.venv/bin/flask": PROD}),
    ([f"prod={SITE}/flask-1.0.dist-info/METADATA"], {}, rejected(f"{SITE}/flask-1.0.dist-info/METADATA", "replaces a file of the package flask")),
    ([f"prod={SITE}/tiny"], {}, rejected(f"{SITE}/tiny", "replaces a directory of the package tiny")),
    ([f"prod={SITE}/tiny/__pycache__/x.pyc"], {}, rejected(f"{SITE}/tiny/__pycache__/x.pyc", f"is below {SITE}/tiny/__pycache__ of the package tiny")),
    ([f"prod={SITE}/tiny/model"], {}, {f"{SITE}/tiny/model": PROD}),
    (["prod=/app/.venv/bin/python"], {}, rejected("/app/.venv/bin/python", "replaces a file of the environment")),
    # files of the base, and of each other
    (["prod=/usr/bin/ed"], {}, ("/usr/bin/ed replaces a file of oci:", ", or add --replace /usr/bin/ed.")),
    (["prod=/bin/ed", "+/bin/ed"], {}, {"/usr/bin/ed": PROD}),
    (["prod=/opt/tool"], {}, ("/opt/tool replaces a file of oci:",)),
    (["prod=/usr/share", "+/usr/share"], {}, ("/usr/share replaces a directory of oci:",)),
    (["prod=/usr/bin/ed/x"], {}, ("/usr/bin/ed/x is below /usr/bin/ed of oci:",)),
    (["prod=/srv/x"], {"/srv/x/y": "main.py"}, rejected("/srv/x/y", "is below /srv/x of --file")),
    (["prod=/var/run/x"], {"/run/x": "main.py"}, ("/x is added twice",)),
    (["+/srv/x"], {"/srv/y": "main.py"}, ("--replace: no --file adds /srv/x. Correct or remove the value",)),
    (["prod=/home/bentoml/x", "!/home/bentoml"], {}, {"/home/bentoml/x": (b"stage: prod", 1034)}),
    (["prod=/var/run/app/x", "!/var/run/app"], {}, {"/run/app/x": (b"stage: prod", 1034)}),
]  # fmt: skip


def test_each_path_of_an_image_is_one_file(machine, bento, tmp_path, monkeypatch):
    files = {"main.py": "", "config": "stage: dev", "prod": "stage: prod", "web/index.html": "<p>"}
    project = machine({**files, "other/index.html": "<b>", "other/more": ""}, "tiny", "flask")
    (project / "current").symlink_to("web")
    (project / "linked").symlink_to("config")
    make_base(tmp_path / "base", SYSTEM | {"opt/tool": b""})
    planned, without = {}, (project / "pyproject.toml").read_text()

    def build_image(workspace, base, plan):
        for content in plan.contents:
            content.prepare().write(tmp_path / "layer")
            with tarfile.open(tmp_path / "layer") as tar:
                found = {f"/{each.name}": (each.isfile() and tar.extractfile(each).read(), each.uid) for each in tar}
            planned.update(found)
        raise BentoError("planned")

    monkeypatch.setattr(native_build, "build_image", build_image)
    for words, table, expected in PLACED:
        rows = "".join(f'"{path}" = "{source}"\n' for path, source in table.items())
        (project / "pyproject.toml").write_text(f"{without}[tool.bento.image.files]\n{rows}")
        options = [OPTIONS[word[0]] + word[1:] if word[0] in OPTIONS else f"--file={project}/{word}" for word in words]
        planned.clear()
        told = build(bento, project, tmp_path, *options, "--entrypoint=python", code=1)
        if isinstance(expected, dict):
            assert "planned" in told and expected.items() <= planned.items(), (words, told)
        else:
            assert not planned and all(each in told for each in expected), (words, told)


def test_a_replaced_file_of_the_code_is_in_the_image(project, bento, tmp_path):
    words = [f"--file={project}/pyproject.toml=/app/_main/web/index.html", "--replace=/app/_main/web/index.html"]
    build(bento, project, tmp_path, *words)
    names = [name for number in (2, 3) for name in layer_files(tmp_path / "out", number)]
    assert names.count("app/_main/web/index.html") == 1
    inputs = [f"--base=oci:{tmp_path / 'base'}", f"--source={project}", *words]
    assert "0 findings" in bento("verify", f"oci:{tmp_path / 'out'}", "--rebuild", *inputs)


def test_a_file_of_a_debian_package_is_not_replaced(project, mirror, bento, tmp_path):
    mirror(project, ["vim"], "libvim", "vim")
    told = build(bento, project, tmp_path, "--apt=vim", f"--file={project}/main.py=/usr/bin/vim", code=1)
    assert "/usr/bin/vim replaces a file of oci:" in told
    build(bento, project, tmp_path, "--apt=vim", f"--file={project}/main.py=/usr/bin/vim", "--replace=/usr/bin/vim")


def test_the_table(project, mirror, bento, tmp_path, monkeypatch):
    table = (
        '[tool.bento.image]\napt = ["vim"]\nbase = "oci:base"\nentrypoint = "python -c pass"\n'
        'env = { HOST = "$HOME", MODE = "table" }\nfiles = { "/srv/index.html" = "web/index.html" }\n'
        'writable = ["/app/_main/table"]\n'
    )
    with (project / "pyproject.toml").open("a") as file:
        file.write(table)
    shutil.move(tmp_path / "base", project / "base")
    mirror(project, ["vim"], "libvim", "vim")
    words = ["--env", "MODE=option", "--writable", "/app/_main/option"]
    bento("image", project, "--output", f"oci:{tmp_path / 'out'}", *words)
    config, _, contents = read(tmp_path / "out")
    assert "usr/bin/vim" in contents[1] and "srv/index.html" in contents[3]
    assert contents[-1] == ["app", "app/_main", "app/_main/option", "app/_main/table"]
    assert {"HOST=$HOME", "MODE=option"} < {*config["config"]["Env"]}
    assert config["config"]["Cmd"] == ["python", "-c", "pass"]
    chosen = json.loads((project / "debian.lock.json").read_text())
    monkeypatch.setattr(
        debian_lock, "choose", lambda _, files, request: chosen | {"of": [*files], "for": request.names}
    )
    bento("lock", project, "--debian")
    locked = json.loads((project / "debian.lock.json").read_text())
    assert (locked["of"], locked["for"]) == (["amd64"], ["vim"])


@pytest.mark.parametrize(
    "table",
    [
        "push = true",
        'image-tag = ["registry.test/x"]',
        'cache-to = ["registry.test/x"]',
        'cache-from = ["registry.test/x"]',
        'insecure = ["registry.test"]',
        'sign-key = "key"',
        'secrets = ["x"]',
        'allow-secret = [".env"]',
        'replace = ["/bin/sh"]',
        'index-url = "https://user:pass@registry.test"',
        'base = "oci:../outside"',
        'base = "oci:/outside"',
        'base = "oci:link"',
        "base = 3",
        'files = { "/x" = "../outside" }',
        'files = { "/x" = "/etc/passwd" }',
        'files = { "/x" = "link/file" }',
        'files = { "/x" = ".git/config" }',
        'files = { "/x" = "." }',
        'files = ["/etc/passwd"]',
        'apt = "vim"',
        "env = { X = 1 }",
        'writable = "/app/data"',
        'env = ["HOME"]',
        'hugging-face = "a/b@c"',
        'hf-token = "x"',
        'output = "oci:/outside"',
        'bytecode-python = "./python"',
        'start-env = { X = "$HOME" }',
    ],
)
def test_what_the_table_cannot_do(tmp_path, table):
    (tmp_path / "project/.git").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "project/link").symlink_to("../outside")
    (tmp_path / "project/.git/config").touch()
    (tmp_path / "project/absolute").symlink_to(tmp_path / "project/.git/config")
    (tmp_path / "project/pyproject.toml").write_text(f"[tool.bento.image]\n{table}\n")
    with pytest.raises(BentoError, match="unknown key|is outside of the project|expected"):
        extra_files.declared(settings_of(tmp_path / "project").get("file", ()))


@pytest.mark.skipif(shutil.which("git") is None, reason="git is missing")
def test_the_table_adds_what_git_tracks_next_to_the_project(tmp_path):
    project = tmp_path / "repository/api"
    for name in ("api/pyproject.toml", "pipeline/a.py", "pipeline/secret.env", "notes", ".git/config", "../outside"):
        path = tmp_path / "repository" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "repository/pipeline/link").symlink_to("../notes")
    shutil.rmtree(tmp_path / "repository/.git")
    for words in (["init", "-q"], ["add", "api", "pipeline/a.py"]):
        subprocess.run(["git", *words], cwd=tmp_path / "repository", check=True)

    def added(source):
        (project / "pyproject.toml").write_text(f'[tool.bento.image]\nfiles = {{ "/x" = "{source}" }}\n')
        return [file.path for file in extra_files.declared(settings_of(project)["file"])]

    assert added("../pipeline") == ["/x/a.py"]
    assert added("../pipeline/a.py") == ["/x"]
    (project / "built").touch()
    assert added("built") == ["/x"]
    for source in ("../notes", "../pipeline/secret.env", "../.git/config", "../../outside", "../pipeline/link"):
        with pytest.raises(BentoError, match="is outside of the project"):
            added(source)


def test_no_value_of_the_table_reads_a_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("CANARY", "TOPSECRET")
    monkeypatch.setenv("HOME", "/TOPSECRET")
    values = ["$CANARY", "${CANARY}", "%CANARY%", "{CANARY}", "~/x", "$(echo $CANARY)", "`echo $CANARY`"]
    for value in values:
        table = {name: [value] for name in ("apt", "hugging-face", "writable")}
        table |= {"base": value, "entrypoint": value, "env": {value: value}, "files": {value: value}}
        lines = [f"{name} = {json.dumps(each).replace(': ', ' = ')}" for name, each in table.items()]
        (tmp_path / "pyproject.toml").write_text("\n".join(["[tool.bento.image]", *lines]))
        found = image_table.of_document(read_tables(tmp_path / "pyproject.toml", {}), tmp_path, tmp_path)
        assert "TOPSECRET" not in str(found)
        assert str(found).count(value) == 9


def test_the_linker_reads_the_cache(tmp_path):
    """The program of the C library lists what we write, in its order."""
    names = ["libb.so.10", "libb.so.9", "liba.so", "libc1.so.1", "libc-1.so.1"]
    elf = {f"usr/lib/x86_64-linux-gnu/{name}": Library(name) for name in names}
    names.append("liblocal.so.1")
    content = ld_cache.updated(b"", Root(elf | {f"usr/local/lib/{names[-1]}": Library(names[-1])}), "amd64")
    (tmp_path / "cache").write_bytes(content)
    program = required(shutil.which("ldconfig", path="/sbin:/usr/sbin"), "program of the C library")
    done = subprocess.run([program, "-p", "-C", tmp_path / "cache"], check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()[1:]
    assert sorted(line.split()[0] for line in lines) == sorted(names)
    assert {line.rpartition("/")[0].partition(" => ")[2] for line in lines} == {
        "/lib/x86_64-linux-gnu",
        "/usr/local/lib",
    }
    assert ld_cache.updated(content, Root({}), "amd64") == content
    assert ld_cache.updated(content[:60], Root({}), "amd64").startswith(b"glibc-ld.so.cache1.1")


class Library:
    machine = "amd64"

    def __init__(self, soname):
        self.soname = soname


class Root:
    links = ()

    def __init__(self, linked):
        self.linked = linked

    def has(self, path):
        return path in self.linked


@pytest.mark.parametrize(
    ("text", "mirrors"),
    [
        ("Types: deb\nURIs: http://a.test/debian/ http://b.test\nSuites: trixie trixie-updates\nComponents: main\n", "main"),
        ("Types: deb\nURIs: http://a.test/debian\nSuites: trixie-security\n", "security"),
        ("# deb http://c.test x main\ndeb [signed-by=/k] http://a.test/debian trixie main\n", "main"),
        ("deb file:/srv trixie main\ndeb s3://a.test/debian trixie main\n", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_mirrors_of_a_base(text, mirrors):
    found = any_base._mirrors({"etc/apt/sources.list.d/debian.sources": text})
    archive = {"main": "debian", "security": "debian-security"}.get(mirrors)
    assert found == ({archive: "http://a.test/debian", "ubuntu": "http://a.test/debian"} if archive else {})


def test_a_machine_without_apt_uses_the_mirrors_of_the_base(project, mirror, bento, tmp_path, monkeypatch):
    mirror(project, ["vim"], "libvim", "vim")
    address = debian_packages.apt.host_mirrors()["debian"]
    monkeypatch.setattr(debian_packages, "which", lambda _: None)
    assert "no mirror of the archive debian is known" in build(bento, project, tmp_path, "--apt", "vim", code=1)
    shutil.rmtree(tmp_path / "base")
    make_base(tmp_path / "base", SYSTEM | {"etc/apt/sources.list": f"deb {address} bookworm main\n".encode()})
    build(bento, project, tmp_path, "--apt", "vim")
    assert "usr/bin/vim" in layer_files(tmp_path / "out", 1)


def test_certificates_and_a_removed_package_of_the_base_are_replaced(project, mirror, bento, tmp_path):
    """`verify --rebuild` agrees, which has its own code."""
    certificate = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
    names = ("ca-certificates", "vim", "libvim")
    bundle = [member("usr/share/ca-certificates/m/a.crt", data=certificate.format("new").encode())]
    make_deb(tmp_path / "mirror/pool/main", "ca-certificates", bundle, version="2.0")
    mirror(project, ["ca-certificates", "vim"], *names)
    lock = project / "debian.lock.json"
    lock.write_text(lock.read_text().replace('{"name": "ca-cert', '{"replaces": "1.0", "name": "ca-cert'))
    removed = STANZA.format("vim", "0.9").replace("install ok installed", "deinstall ok config-files")
    of_base = {
        "etc/ca-certificates.conf": b"m/old.crt\n",
        "etc/ssl/certs/ca-certificates.crt": certificate.format("old").encode(),
        "usr/share/ca-certificates/m/old.crt": certificate.format("old").encode(),
        "var/lib/dpkg/info/ca-certificates.list": b"/.\n/usr/share/ca-certificates/m/old.crt\n",
        "var/lib/dpkg/status": f"{STATUS}{STANZA.format('ca-certificates', '1.0')}{removed}".encode(),
    }
    shutil.rmtree(tmp_path / "base")
    make_base(tmp_path / "base", SYSTEM | of_base)
    words = ["--apt", "ca-certificates", "--apt", "vim"]
    build(bento, project, tmp_path, *words)
    files = layer_files(tmp_path / "out", 1)
    assert files["etc/ssl/certs/ca-certificates.crt"] == certificate.format("new").encode()
    assert files["etc/ca-certificates.conf"] == b"m/a.crt\n"
    assert "usr/share/ca-certificates/m/.wh.old.crt" in files
    assert files["var/lib/dpkg/status"].count(b"Package: vim\n") == 1
    assert b"config-files" not in files["var/lib/dpkg/status"]
    base = ["--source", project, "--base", f"oci:{tmp_path / 'base'}"]
    told = bento("verify", f"oci:{tmp_path / 'out'}", "--rebuild", *base, *words, code=status.UNPROVEN)
    assert " 0 findings." in told


def test_a_base_can_have_all_that_is_locked(project, mirror, bento, tmp_path):
    mirror(project, ["old"], "old")
    shutil.rmtree(tmp_path / "base")
    status = STATUS.replace("Version: 1.0", "Version: 2.0").encode()
    make_base(tmp_path / "base", SYSTEM | {"var/lib/dpkg/status": status})
    build(bento, project, tmp_path, "--apt", "old")
    assert "usr/share/old/kept" not in layer_files(tmp_path / "out", 1)


@pytest.mark.parametrize("field", ["Depends", "Pre-Depends"])
def test_apt_accepts_a_base_whose_packages_lack_dependencies(field, tmp_path):
    """As `bento_base` makes it. Dependencies that the base has stay, so that apt breaks none of them."""
    depends = (
        f"{field}: libc6 (>= 2.3), virtual, perl:any | absent,\n debconf (>= 0.5) | debconf-2.0\nConflicts: other\n"
    )
    stanzas = [STANZA.format("libc6", "2.36"), STANZA.format("given", "1.0").replace("Desc", "Provides: virtual\nDesc")]
    stanzas += [
        STANZA.format("app", "1").replace("Desc", f"{depends}Desc"),
        STANZA.format("x", "1").replace("Desc", f"{field}: y\nDesc"),
    ]
    base = make_base(tmp_path / "base", SYSTEM | {"var/lib/dpkg/status": "".join(stanzas).encode()})
    layout = Layout.open(base)
    blob = json.loads(layout.find().content)["layers"][0]
    status = any_base.AnyBase.read([(layout.blob(blob["digest"]), blob["mediaType"], "")], "base").status
    assert f"Version: 1\n{field}: libc6 (>= 2.3), virtual\nConflicts: other\nDescription: of app\n\n" in status
    assert "Version: 1\nDescription: of x\n" in status
    if apt := shutil.which("apt-get", path="/usr/bin"):
        (tmp_path / "status").write_text(status)
        words = [
            f"-oDir::State::status={tmp_path}/status",
            f"-oDir::State={tmp_path}",
            "-oDebug::NoLocking=1",
            "-oAPT::Architecture=amd64",
        ]
        done = subprocess.run([apt, *words, "check"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
