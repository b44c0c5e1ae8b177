"""Locks that were made to harm, in each form: rejected with a message, or harmless."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import shapes
from rules_bento.bentos.packages import lock_with_uv
from rules_bento.bentos.packages.indexes import Indexes

from tests.packages.metadata_index import Index, package, serve

UV = os.environ["RULES_BENTO_UV"]
PYTHON = f"=={sys.version_info[0]}.{sys.version_info[1]}.*"
NEEDS_GIT = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
SHA, COMMIT, SECRET = "ab" * 32, "a" * 40, "s3cr3t"
WHEEL = "https://f.example/idna-3.10-py3-none-any.whl"
REGISTRY = '{ registry = "https://index.example/simple" }'


def uv_lock(name="idna", version="3.10", source=REGISTRY, wheel=WHEEL, sha256=SHA, more=""):
    return f"""\
version = 1
requires-python = ">=3.11"
[[package]]
name = "proj"
version = "0"
source = {{ virtual = "." }}
dependencies = [{{ name = {json.dumps(name)} }}]
[[package]]
name = {json.dumps(name)}
version = {json.dumps(version)}
source = {source}
wheels = [{{ url = {json.dumps(wheel)}, hash = "sha256:{sha256}", size = 5 }}]
{more}
"""


def own(**package):
    entry = {"name": "idna", "version": "3.10", "dependencies": [], "files": {"idna-3.10-py3-none-any.whl": SHA}}
    lock = {"lock": 1, "requires_python": ">=3.10", "roots": [{"name": "idna"}]}
    return json.dumps(lock | {"packages": [entry | package]})


def pylock(line):
    return f'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "idna"\nversion = "3.10"\n{line}\n'


def deep(count):
    return "(" * count + "python_version > '3'" + ")" * count


WHEELS = [
    "https://f.example/../../../x-1-py3-none-any.whl",
    "https://f.example/..%2f..%2fidna-3.10-py3-none-any.whl",
    f"{WHEEL}\n",
    WHEEL.replace("f.example", f"u:{SECRET}@f.example"),
    f"{WHEEL}?token={SECRET}#x",
    "file:///etc/passwd",
    "https://f.example/",
    f"{WHEEL}/..",
    "https://f.example/-o-1-py3-none-any.whl",
    'https://f.example/idna-3.10"-py3-none-any.whl',
    "https://f.example/idna-3.10-py3-none-$(id).whl",
    f"{WHEEL}\0",
    "/etc/idna-3.10-py3-none-any.whl",
    "https://f.example/other-3.10-py3-none-any.whl",
    "https://f.example/idna-9.9-py3-none-any.whl",
    "https://f.example/%69dna-3.10-py3-none-any.whl",
    "https://f.example/idna-3.10-py3-none-any.tar",
    "..\\..\\x.whl",
    "https://f.example/idna-3.10-py3-none-any.whl%0aevil.whl",
]
NAMES = ["../x", 'a"b', "a\nb", "a b", "-r", "A", "idna\0", "é", "a" * 300, "__", ".", "a'b", "a:b//c", "BUILD"]
VERSIONS = ["../x", '1"', "1\n2", "$(id)", "1 ; python_version<'3'", "9" * 300, "", "1.0+../x"]
VERSIONS += ['3.10", tags = ["no-sandbox"], deprecation = "x', "3.10\nevil @ file:///tmp/evil-sdist"]
SOURCES = [
    f'{{ registry = "https://u:{SECRET}@x.example/simple" }}',
    f'{{ git = "https://u:{SECRET}@g.example/x?rev=a#{COMMIT}" }}', f'{{ git = "--upload-pack=touch x#{COMMIT}" }}',
    '{ git = "--upload-pack=touch x;#." }', f'{{ git = "ext::sh -c id#{COMMIT}" }}',
    f'{{ git = "file:///etc#{COMMIT}" }}', f'{{ git = "https://g.example/x?subdirectory=../../..#{COMMIT}" }}',
    '{ git = "https://g.example/x#main" }', f'{{ git = "ssh://-oProxyCommand=id/x#{COMMIT}" }}',
    f'{{ url = "https://u:{SECRET}@u.example/idna-3.10-py3-none-any.whl" }}',
    '{ url = "file:///etc/x-1-py3-none-any.whl" }', '{ path = "../../../etc/x-1-py3-none-any.whl" }',
    '{ path = "/etc/x-1-py3-none-any.whl" }', '{ editable = "../.." }', '{ directory = "/" }',
    '{ registry = "/etc" }', '{ registry = "../x" }', '{ virtual = "/" }',
]  # fmt: skip
EDGES = {
    "cycle": 'dependencies = [{ name = "idna" }]',
    "deep": f'dependencies = [{{ name = "idna", marker = "{deep(3000)}" }}]',
    "long": f'dependencies = [{{ name = "idna", marker = "{" or ".join(["python_version > 3"] * 20000)}" }}]',
    "code": "dependencies = [{ name = \"idna\", marker = \"__import__('os').system('id') == ''\" }]",
    "extra": 'dependencies = [{ name = "idna", extra = ["a] b"] }]',
    "version": 'dependencies = [{ name = "idna", version = "1\\n2" }]',
    "extras": '[package.optional-dependencies]\n"a\\"b" = [{ name = "idna" }]',
}
LINES = [
    f"--index-url https://u:{SECRET}@x.example/simple", f"-i https://x.example/s?tok={SECRET}",
    f"--extra-index-url=https://u:{SECRET}@y.example", f"-f https://u:{SECRET}@y.example", "--index-url file:///etc",
    "--index-url ../x", "--index-url http://x\n--trusted-host evil", "--index-url ${SECRET}",
    "--index-url 'https://x' --pre", f"x @ https://u:{SECRET}@h.example/x-1-py3-none-any.whl --hash=sha256:{SHA}",
    f"x @ file:///etc/x-1-py3-none-any.whl --hash=sha256:{SHA}", f"./../x-1-py3-none-any.whl --hash=sha256:{SHA}",
    f"x @ git+https://u:{SECRET}@g.example/x@{COMMIT}", f"x @ git+ssh://-oProxyCommand=id/x@{COMMIT}",
    f"x @ git+file:///etc@{COMMIT}", "x @ hg+https://h/x@1", f"x @ git+--upload-pack=id@{COMMIT}",
    f"x @ git+ext::id@{COMMIT}", f"x @ https://h.example/../../x-1-py3-none-any.whl#sha256={SHA}",
    f"x @ https://h.example/x-1-py3-none-any.whl#sha256={SHA}&egg=../../y",
    f"x @ https://h.example/%2e%2e%2fx-1-py3-none-any.whl --hash=sha256:{SHA}",
    f"x==1 ; {deep(500)} --hash=sha256:{SHA}", f"x===../y --hash=sha256:{SHA}",
]  # fmt: skip
PYLOCKS = [
    f'wheels = [{{ name = "../../idna-3.10-py3-none-any.whl", url = "https://f/x.whl", hashes = {{ sha256 = "{SHA}" }} }}]',
    f'wheels = [{{ path = "/etc/passwd", hashes = {{ sha256 = "{SHA}" }} }}]',
    f'wheels = [{{ path = "../../x-1-py3-none-any.whl", hashes = {{ sha256 = "{SHA}" }} }}]',
    f'wheels = [{{ url = "https://u:{SECRET}@f/idna-3.10-py3-none-any.whl", hashes = {{ sha256 = "{SHA}" }} }}]',
    f'archive = {{ url = "https://u:{SECRET}@f/idna-3.10.tar.gz", hashes = {{ sha256 = "{SHA}" }} }}',
    f'archive = {{ path = "../../../etc/x.tar.gz", hashes = {{ sha256 = "{SHA}" }} }}',
    f'vcs = {{ type = "git", url = "--upload-pack=id", commit-id = "{COMMIT}" }}',
    f'vcs = {{ type = "hg", url = "https://g/x", commit-id = "{COMMIT}" }}',
    f'vcs = {{ type = "git", url = "https://u:{SECRET}@g/x", commit-id = "{COMMIT}", subdirectory = "../.." }}',
    'directory = { path = "/" }',
    f'wheels = [{{ name = "idna-3.10-py3-none-any.whl", url = "https://f/x.whl", hashes = {{ md5 = "{SHA}" }} }}]',
    f'wheels = [{{ name = "idna-3.10-py3-none-any.whl", hashes = {{ sha256 = "{SHA[:-1]}" }} }}]',
    f"marker = \"os_name == 'x' and ({'(' * 500}\"",
    "marker = \"os_name == 'x'\\nevil @ file:///tmp/x\"",
]
OWN = [
    {"files": {"../../x.whl": SHA}},
    {"files": {"a/b.whl": SHA}},
    {"files": {'a"b.whl': SHA}},
    *({"name": name} for name in NAMES),
    *({"version": version} for version in VERSIONS),
    {"source": {"git": "--x", "commit": COMMIT}},
    {"source": {"git": "https://g/x", "commit": "-x"}},
    {"source": {"git": "https://g/x", "commit": COMMIT, "subdirectory": "-x"}},
    {"source": {"commit": COMMIT}},
    {"source": {"label": "//x"}},
    {"source": {"url": f"https://u:{SECRET}@h/x.whl"}},
    {"source": {"path": "/etc/x.whl"}},
    {"dependencies": [{"name": "idna", "version": "1\n2"}]},
    {"dependencies": [{"name": "idna", "marker": "(" * 5000}]},
    {"extras": {'a"b': []}},
    {"rejected_files": ["../x.whl"]},
]
LOCKS = {
    **{f"wheel {url}": ("uv.lock", uv_lock(wheel=url)) for url in WHEELS},
    **{f"name {name}": ("uv.lock", uv_lock(name)) for name in NAMES},
    **{f"version {version}": ("uv.lock", uv_lock(version=version)) for version in VERSIONS},
    **{f"source {source}": ("uv.lock", uv_lock(source=source)) for source in SOURCES},
    **{f"edge {name}": ("uv.lock", uv_lock(more=text)) for name, text in EDGES.items()},
    "hash": ("uv.lock", uv_lock(sha256="zz")),
    **{f"line {line}": ("requirements.txt", f"{line}\nidna==3.10 --hash=sha256:{SHA}\n") for line in LINES},
    **{f"pylock {line}": ("pylock.toml", pylock(line)) for line in PYLOCKS},
    **{f"own {entry}": ("x.lock.json", own(**entry)) for entry in OWN},
}
# They are read, and do nothing: uv.lock names hosts and folders that nobody asks; uv reads an index without running code.
HARMLESS = {
    *(f"wheel {WHEELS[n]}" for n in (3, 4, 15)),  # only the file name counts, also in another spelling
    *(f"source {SOURCES[n]}" for n in (0, 15, 16)),  # registries aren't read
    *(f"source {SOURCES[n]}" for n in (13, 17)),  # members of the workspace
    *(f"line {LINES[n]}" for n in (1, 4, 5, 6)),  # an index
    f"source {SOURCES[5]}", f"line {LINES[14]}",  # git reads a folder without running code of it
    "edge cycle",  # a graph may have one
}  # fmt: skip


def read(path, form, text, address=""):
    (path / form).write_text(text, "utf-8")
    return lock_with_uv.normalize(path / form, uv=Path(UV), requires_python=PYTHON, indexes=Indexes(default=address))


@pytest.mark.parametrize(
    ("source", "message"),
    [(SOURCES[14], "idna is a local path"), (SOURCES[11], "idna is a local path"), (SOURCES[9], "credentials")],
)
def test_what_makes_a_source_unusable_is_named(tmp_path, source, message):
    with pytest.raises(BentoError, match=message):
        read(tmp_path, "uv.lock", uv_lock(source=source))


@pytest.mark.parametrize("name", LOCKS, ids=lambda name: ascii(name)[:60])
def test_a_hostile_lock_is_rejected_or_harmless(tmp_path, monkeypatch, name):
    """What uv would be asked is looked at, and what a hub would be made of."""
    asked = []

    def answer(project, _uv, _origin):
        asked.append(project)
        return uv_lock()

    monkeypatch.setattr(lock_with_uv, "_lock_with_uv", answer)
    try:
        lock = read(tmp_path, *LOCKS[name])
    except BentoError as error:
        assert name not in HARMLESS
        message = str(error)
        assert message.startswith(str(tmp_path)), message
        assert re.search(r"[.`] [A-Z]\w+ |\(PEP 508\): ", message), message
        assert SECRET not in message
        assert message.isprintable() or "\n" not in name
        assert len(message) < 1000 or "marker" in name or "line" in name
        return
    assert name in HARMLESS, lock
    shapes.check(json.loads(json.dumps(lock)), shapes.LOCK, "", "")
    assert SECRET not in json.dumps(lock)
    for project in asked:
        assert all("\n" not in pin for pin in project.requirements)


POETRY = f"""\
[[package]]
name = "idna"
version = "3.10"
files = [{{ hash = "sha256:{SHA}" }}]
[metadata]
lock-version = "2.1"
content-hash = "x"
python-versions = "*"
"""
PDM = (
    POETRY.replace("k-version", "k_version")
    .replace("t-hash", "t_hash")
    .replace("2.1", '4.5"\nstrategy = ["inherit_metadata"]\nx = "')
)
PIPENV = json.dumps({"_meta": {"pipfile-spec": 6, "hash": {"sha256": "x"}}, "default": {}})


@pytest.mark.parametrize("form", [("poetry.lock", POETRY), ("pdm.lock", PDM), ("Pipfile.lock", PIPENV)])
@pytest.mark.parametrize("text", ["tool = 3", "project = []", "[tool]\npoetry = []\npdm = 3", "default = 1", "["])
def test_what_stands_next_to_a_lock_is_read_or_rejected(tmp_path, form, text):
    (tmp_path / ("Pipfile" if "Pip" in form[0] else "pyproject.toml")).write_text(text)
    with pytest.raises(BentoError, match=r"isn't current|Correct the file|TOML|project: |tool"):
        read(tmp_path, *form)


@pytest.mark.parametrize(
    "lock",
    [
        {},
        {"requires_python": ">=3", "roots": [1], "packages": {}},
        {"requires_python": ">=3", "roots": [], "packages": [[]]},
        {"requires_python": ">=3", "roots": [], "packages": [{"name": 1, "version": "1", "files": {}}]},
        {"requires_python": ">=3", "roots": [], "packages": [{"name": "a", "version": "1", "files": []}]},
        {"requires_python": ">=3", "roots": [], "packages": [{"name": "a", "version": "1", "files": {"a.zip": None}}]},
        {"requires_python": ">=3", "roots": [{"name": "a", "extras": "x"}], "packages": []},
        {"requires_python": None, "roots": [], "packages": []},
    ],
)
def test_what_has_another_type_is_named(tmp_path, lock):
    with pytest.raises(BentoError, match="Restore the committed file, or empty the file and run the") as caught:
        read(tmp_path, "x.lock.json", json.dumps(lock | {"lock": 1}))
    assert str(caught.value).startswith(f"{tmp_path}/x.lock.json: ")


# F4: what uv would build to know its metadata


def source(directory, mark, *, dynamic):
    """A project whose build backend leaves a mark."""
    directory.mkdir(parents=True)
    what = 'dynamic = ["dependencies"]' if dynamic else 'dependencies = ["core"]'
    (directory / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "be"\nbackend-path = ["."]\n'
        f'[project]\nname = "evil"\nversion = "1.0"\n{what}\n'
    )
    (directory / "be.py").write_text(f"open({str(mark)!r}, 'w').write('ran')\n")
    return directory


def commit(directory):
    run = ["git", "-c", "user.name=x", "-c", "user.email=x@example.invalid", "-C", str(directory)]
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=x"]):
        subprocess.run([*run, *arguments], check=True, capture_output=True)
    done = subprocess.run([*run, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return f"evil @ git+{directory.as_uri()}@{done.stdout.strip()}\n"


def archive_of(directory):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(directory, "evil-1.0")
    return packed.getvalue()


@pytest.fixture
def index(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    found = Index([package("core", "1.0"), package("evil", "1.0", sdist=True, wheels=())])
    found.files.pop("evil-1.0.tar.gz.metadata")
    return found


def lines_of(kind, directory, index, address):
    """The line of a requirements lock, for a commit, an address, and a release of an index."""
    if kind == "commit":
        return commit(directory)
    index.files["evil-1.0.tar.gz"] = archive_of(directory)
    where = " @ " + address.replace("/simple", "/files/evil-1.0.tar.gz") if kind == "address" else "==1.0"
    return f"evil{where} --hash=sha256:{index.sha256('evil-1.0.tar.gz')}\n"


@pytest.mark.parametrize("kind", [pytest.param("commit", marks=NEEDS_GIT), "address", "release"])
def test_reading_a_lock_builds_nothing(tmp_path, index, kind):
    mark = tmp_path / "ran"
    directory = source(tmp_path / "evil", mark, dynamic=True)
    with serve(index) as address:
        text = lines_of(kind, directory, index, address)
        with pytest.raises(BentoError, match="has dynamic dependencies") as caught:
            read(tmp_path, "requirements.txt", text, address)
    assert "evil" in str(caught.value)
    assert "Lock with a bento_requirements target or with `uv lock`" in str(caught.value)
    assert not mark.exists()


@NEEDS_GIT
def test_a_commit_with_static_metadata_needs_no_build(tmp_path, index):
    mark = tmp_path / "ran"
    text = commit(source(tmp_path / "evil", mark, dynamic=False))
    text += f"core==1.0 --hash=sha256:{index.sha256('core-1.0-py3-none-any.whl')}\n"
    with serve(index) as address:
        lock = read(tmp_path, "requirements.txt", text, address)
    assert [entry["name"] for entry in lock["packages"]] == ["core", "evil"]
    assert not mark.exists()


@pytest.mark.parametrize(
    ("option", "is_read"),
    [("", True), ("--only-binary :all:\n", False), ("--only-binary=Old\n", False), ("--only-binary core\n", True)],
)
def test_only_binary_is_followed(tmp_path, monkeypatch, option, is_read):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    index = Index([package("core", "1.0", sdist=True), package("old", "1.0", sdist=True, wheels=())])
    files = ("core-1.0-py3-none-any.whl", "core-1.0.tar.gz")
    hashes = "".join(f" --hash=sha256:{index.sha256(file)}" for file in files)
    text = f"{option}core==1.0{hashes}\nold==1.0 --hash=sha256:{index.sha256('old-1.0.tar.gz')}\n"
    with serve(index) as address:
        if not is_read:
            with pytest.raises(BentoError, match=r"old 1\.0 has no wheel, but the lock contains --only-binary"):
                read(tmp_path, "requirements.txt", text, address)
            return
        lock = read(tmp_path, "requirements.txt", text, address)
    [core, _] = lock["packages"]
    assert list(core["files"]) == list(files[:1] if option else sorted(files))


# F15


def test_the_query_of_an_index_is_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with serve(Index([])) as address:
        text = f"-i {address}/s?tok={SECRET}\nidna==3.10 --hash=sha256:{SHA}\n"
        with pytest.raises(BentoError) as caught:
            read(tmp_path, "requirements.txt", text)
    assert SECRET not in str(caught.value)


def test_the_query_of_an_index_is_not_shown_while_locking(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    project = lock_with_uv.Project(["idna"], PYTHON, indexes=Indexes(default=f"http://127.0.0.1:9/s?tok={SECRET}"))
    with pytest.raises(BentoError):
        lock_with_uv.update(project, None, uv=Path(UV), origin="//:x")
    shown = capsys.readouterr().err
    assert "127.0.0.1:9" in shown
    assert SECRET not in shown
