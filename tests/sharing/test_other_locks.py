"""`bento image` with locks of Poetry, PDM, Pipenv, and pip: the same packages as with uv.lock, or an error. The digests of
requirements are those that the tools' own code computed (Poetry 2.5.1, PDM 2.29.4, Pipenv 2026.10.3)."""

import json
import os
import re
import subprocess
import sys

import pytest
from bento_cli.projects.uv_project import UvProject
from bento_cli.sharing import debian_lock
from rules_bento.base.errors import BentoError
from rules_bento.base.net import transfers
from rules_bento.bentos.packages import uv_lock_conflicts
from rules_bento.bentos.packages.locks.any_lock import pins, read_lock
from rules_bento.bentos.packages.platforms import marker_environment
from rules_bento.bentos.packages.uv_lock_conflicts import PackageSelection
from rules_bento.images.registry.layout import Layout

from tests.sharing.image_support import build, make_base, sha

NAMES = ("acme-tools", "large", "tiny")
A, B, C = (character * 64 for character in "abc")
PROJECT = """\
[project]
name = "web"
version = "1.0"
requires-python = ">=3.9"
dependencies = ["tiny[more]"]
optional-dependencies = { big = ["large"] }
[dependency-groups]
dev = ["acme-tools"]
"""
POETRY_1 = """\
[tool.poetry]
name = "web"
version = "1"
package-mode = false
[tool.poetry.dependencies]
python = "^3.9"
tiny = { version = "^1.0", extras = ["more"] }
large = { version = "*", optional = true }
[tool.poetry.extras]
big = ["large"]
[tool.poetry.group.dev.dependencies]
acme-tools = "~1.0"
"""
PIPFILE = """\
[packages]
tiny = "*"
[dev-packages]
acme-tools = "*"
[[source]]
name = "pypi"
url = "https://index.invalid/simple"
verify_ssl = true
[requires]
python_version = "3.11"
"""
HASHES = {
    "poetry": "30dcb9491a798bae703ee6dc57bef3ae6871f19dc40c2bc240feea11211a782d",
    "poetry 2.2": "a434cbe2153a89f2524f7b3dee7a6ab812134b874a61694dc6d41b9c6521efee",
    "poetry 1": "11d19b70bc20bf4651dd43d25a4483c0665cfe85fb37486bc97248c69f862a98",
    "pdm": "d9fbf93b120a4976ae9cb714d43d8af3537672eadb120d5750e777717fff25d6",
    "pipenv": "7efa3dff1de290b0d828fb3751e9c4d2d160967637f1c12b0797bb0d36b680f2",
}


def entry(name, sha256=A, more="", version="1.0"):
    return f'[[package]]\nname = "{name}"\nversion = "{version}"\nfiles = [{{file = "x.whl", hash = "sha256:{sha256}"}}]\n{more}\n'


def poetry(text, version="2.1", digest="poetry"):
    form = f'lock-version = "{version}"\npython-versions = "^3.9"\ncontent-hash = "{HASHES.get(digest, digest)}"\n'
    return f'{text}\n[extras]\nbig = ["large"]\n[metadata]\n{form}'


CONTENT = f'content_hash = "sha256:{HASHES["pdm"]}"\n'


def pdm(text, strategy='"inherit_metadata"', version="4.5.0"):
    form = f'lock_version = "{version}"\nstrategy = [{strategy}]\n{CONTENT}'
    return f"[metadata]\n{form}\n{text}"


def pipenv(default, develop=None, **meta):
    found = {"hash": {"sha256": HASHES["pipenv"]}, "pipfile-spec": 6, "requires": {"python_version": "3.11"}, **meta}
    return json.dumps({"_meta": found, "default": default, "develop": develop or {}})


def pylock(text):
    return f'lock-version = "1.0"\nextras = ["big"]\ndependency-groups = ["dev"]\n{text}'


def released(name, marker="", sha256=A):
    url = f"https://index.invalid/{name.replace('-', '_')}-1.0-py3-none-any.whl"
    return (
        f'[[packages]]\nname = "{name}"\nversion = "1.0"\n' + (f'marker = "{marker}"\n' if marker else "")
        + f'wheels = [{{url = "{url}", hashes = {{sha256 = "{sha256}"}}}}]\n'
    )  # fmt: skip


LOCKS = {
    "poetry.lock": poetry(
        entry("tiny", more='groups = ["main"]')
        + entry("more", more='groups = ["main"]')
        + entry("win", more='groups = ["main"]\nmarkers = "sys_platform == \'win32\'"')
        + entry("large", more='optional = true\ngroups = ["main"]\nmarkers = "extra == \'big\'"')
        + entry("acme-tools", more='groups = ["main", "dev"]\nmarkers = {main = "python_version < \'3\'"}')
    ),
    "poetry.lock of Poetry 1": poetry(
        entry("tiny", more='[package.extras]\nmore = ["more (>=1)"]\n[package.dependencies]\nmore = {version = ">=1", optional = true, markers = "extra == \'more\'"}\nwin = {version = "*", markers = "sys_platform == \'win32\'"}')
        + entry("more", more='[package.dependencies]\ntiny = "^1.0"')
        + entry("large") + entry("acme-tools"),
        "2.0", "poetry 1",
    ),
    "pdm.lock": pdm(
        entry("tiny", more='groups = ["default"]\ndependencies = ["win"]')
        + entry("tiny", more='extras = ["more"]\ngroups = ["default"]\ndependencies = ["tiny==1.0", "more"]')
        + entry("more", more='groups = ["default"]')
        + entry("win", more='groups = ["default"]\nmarker = "sys_platform == \'win32\'"')
        + entry("large", more='groups = ["big"]') + entry("acme-tools", more='groups = ["dev"]')
    ),
    "pdm.lock without inherited metadata": pdm(
        entry("tiny", more="dependencies = [\"win; sys_platform == 'win32'\"]")
        + entry("tiny", more='extras = ["more"]\ndependencies = ["tiny==1.0", "more>=1"]')
        + entry("more") + entry("large") + entry("acme-tools"),
        '"cross_platform"', "4.4.1",
    ),
    "Pipfile.lock": pipenv(
        {"tiny": {"version": "==1.0", "hashes": [f"sha256:{A}"]}, "more": {"version": "==1.0", "hashes": [f"sha256:{A}"]},
         "win": {"version": "==1.0", "hashes": [f"sha256:{A}"], "markers": "sys_platform == 'win32'"}},
        {"acme-tools": {"version": "==1.0", "hashes": [f"sha256:{A}"]}},
    ),
    "pylock.toml": pylock(
        released("tiny") + released("more", "'x' not in extras") + released("win", "sys_platform == 'win32'")
        + released("large", "'big' in extras") + released("acme-tools", "'dev' in dependency_groups")
    ),
}  # fmt: skip


def write(directory, name, text):
    name = name.partition(" ")[0]
    (directory / "pyproject.toml").write_text(POETRY_1 if HASHES["poetry 1"] in text else PROJECT)
    if name == "Pipfile.lock":
        (directory / "Pipfile").write_text(PIPFILE)
    (directory / name).write_text(text)
    return directory


@pytest.mark.parametrize("name", LOCKS)
def test_options_select_groups_and_extras_of_each_lock(name, tmp_path):
    project = UvProject.read(write(tmp_path, name, LOCKS[name]))
    environment = marker_environment("linux", "x86_64", "3.11")

    def names(**options):
        choice = PackageSelection(**options).choice(project.lock, project.name, project.default_groups)
        found = uv_lock_conflicts.installed(project.lock, choice, name, environment)
        return {(each["name"], each["version"]) for each, _ in found if each["name"] != "web"}

    main, tools = {("tiny", "1.0"), ("more", "1.0")}, {("acme-tools", "1.0")}
    group = "dev-packages" if name == "Pipfile.lock" else "dev"
    assert names() == main
    assert names(groups=[group]) == main | tools
    assert names(only_groups=[group]) == tools
    if name != "Pipfile.lock":
        assert names(extras=["big"]) == main | {("large", "1.0")}


def release(name="tiny", **fields):
    return {name: {"version": "==1.0", "hashes": [f"sha256:{A}"], **fields}}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("poetry.lock", LOCKS["poetry.lock"].replace(HASHES["poetry"], B), "poetry.lock: the lock isn't current: the requirements of the project changed since. Run `poetry lock`."),
        ("poetry.lock", poetry(entry("tiny"), digest="poetry 2.2"), "isn't current"),
        ("poetry.lock", poetry(entry("tiny"), "3.0"), "unsupported version '3.0' of the lock's form. Run `uvx migrate-to-uv`, which keeps the locked versions."),
        ("poetry.lock", poetry(entry("tiny") + entry("tiny", version="2.0"), "2.0", "poetry 1"), "has tiny 1.0 and 2.0, but doesn't state where it installs which. Run `uvx poetry lock`, which keeps the versions."),
        ("pdm.lock", pdm(entry("tiny") + entry("tiny", version="2.0"), '"cross_platform"'), "Run `pdm lock --update-reuse --strategy inherit_metadata`, which keeps"),
        ("poetry.lock", "metadata = 3", "unsupported version 'None'"),
        ("poetry.lock", poetry(entry("tiny").replace("sha256:", "md5:")), "poetry.lock: tiny 1.0 has no hash (SHA-256)"),
        ("poetry.lock", poetry(entry("tiny", more='[package.source]\ntype = "git"\nurl = "https://a:secret@x.invalid/y"')), "tiny is from git https://x.invalid/y, which isn't a release with hashes. Lock a release of an index."),
        ("poetry.lock", poetry(entry("tiny", more='[package.source]\ntype = "directory"\nurl = "../x"')), "tiny is from directory ../x"),
        ("poetry.lock", poetry(entry("tiny", more='[package.source]\ntype = "legacy"\nurl = "https://a:secret@x.invalid/y"')), "contains credentials"),
        ("poetry.lock", poetry(entry("tiny", more='[package.source]\ntype = "legacy"\nurl = "https://${HOME}.invalid/y"')), "contains '${'"),
        ("poetry.lock", poetry(entry("web")), "the lock has a release with the name of the project, web"),
        ("poetry.lock", poetry(entry("tiny", more='groups = ["main"]\nmarkers = "os.system == 1"')), "tiny" * 0 + "isn't an environment marker"),
        ("poetry.lock", poetry(entry("tiny\\nx")), "isn't a normalized package name"),
        ("poetry.lock", poetry(entry("tiny", version="1 --index-url=x")), "isn't a version"),
        ("poetry.lock", "a = " + "[" * 200 + "]" * 200, "levels of nesting"),
        ("poetry.lock", "#" * (17 << 20), "the file exceeds the limit of 16 MiB"),
        ("poetry.lock", poetry("x = ["), "poetry.lock:"),
        ("pdm.lock", pdm("", version="5.0"), "unsupported version '5.0'"),
        ("pdm.lock", pdm('[[package]]\nname = "tiny"\nversion = "1.0"\n'), "pdm.lock: tiny 1.0 has no hash"),
        ("pdm.lock", pdm('[[package]]\nname = "tiny"\nversion = "1"\ngit = "https://x.invalid/y"'), "tiny is from git https://x.invalid/y"),
        ("pdm.lock", pdm('[[package]]\nname = "tiny"\nversion = "1"\npath = "./x"'), "tiny is from path ./x"),
        ("pdm.lock", pdm("").replace(HASHES["pdm"], B), "Run `pdm lock --update-reuse`."),
        ("Pipfile.lock", pipenv({}, hash={"sha256": B}), "isn't current: the requirements of the project changed since. Run `pipenv lock`."),
        ("Pipfile.lock", pipenv({}, **{"pipfile-spec": 7}), "unsupported version '7'"),
        ("Pipfile.lock", pipenv(release(version="*")), "tiny has no exact version"),
        ("Pipfile.lock", pipenv(release(hashes=[])), "tiny 1.0 has no hash"),
        ("Pipfile.lock", pipenv({"tiny": {"file": "https://x.invalid/y.tar.gz"}}), "tiny is from file https://x.invalid/y.tar.gz"),
        ("Pipfile.lock", pipenv({"tiny": 3}), "default.tiny: expected a mapping, got a number."),
        ("Pipfile.lock", "[" * 1000, "Pipfile.lock"),
        ("pylock.toml", pylock("").replace("1.0", "2.0") + "packages = []", "unsupported version '2.0'"),
        ("pylock.toml", pylock('[[packages]]\nname = "tiny"\nversion = "1"\nvcs = {type = "git", url = "https://x.invalid/y", commit-id = "' + "a" * 40 + '"}'), "tiny is from git https://x.invalid/y"),
        ("pylock.toml", pylock(released("tiny").replace('url = "https://index.invalid/', 'path = "../')), "tiny is from the path ../tiny"),
        ("pylock.toml", pylock(released("tiny").replace("https://", "file:///")), "isn't an http:// or https:// address"),
        ("pylock.toml", pylock(released("tiny").replace("tiny-1.0", "other-1.0")), "the lock has the wheel 'other-1.0-py3-none-any.whl' for tiny"),
        ("pylock.toml", pylock(released("tiny").replace("sha256", "md5")), "tiny 1.0 has no hash"),
        ("requirements.txt", f"tiny==1.0 --hash=sha256:{A}\nmore==1\n", "more 1 has no hash"),
        ("requirements.txt", f"tiny>=1.0 --hash=sha256:{A}\n", "'tiny>=1.0' has no exact version"),
        ("requirements.txt", f"-e ../x\ntiny==1.0 --hash=sha256:{A}\n", "requirements.txt:1: unsupported option -e"),
        ("requirements.txt", f"tiny @ git+https://x.invalid/y@{'a' * 40} --hash=sha256:{A}\n", "tiny is from git https://x.invalid/y, which isn't a release with hashes"),
        ("requirements.txt", f"--find-links ./wheels\ntiny==1.0 --hash=sha256:{A}\n", "is from the path ./wheels"),
    ],
)  # fmt: skip
def test_a_lock_that_cannot_be_verified_is_an_error_with_its_place(name, text, message, tmp_path):
    if "2.2" in str([key for key, value in HASHES.items() if value in text]):
        text = f"# This file is generated by Poetry 2.3.1\n{text}"
    with pytest.raises(BentoError) as error:
        UvProject.read(write(tmp_path, name, text))
    assert message in str(error.value)
    assert "secret" not in str(error.value)


def test_poetry_before_2_3_hashed_no_dependency_groups(tmp_path):
    text = "# This file is automatically @generated by Poetry 2.2.1 and should not be changed by hand.\n"
    assert UvProject.read(write(tmp_path, "poetry.lock", text + poetry(entry("tiny"), digest="poetry 2.2")))


@pytest.mark.parametrize("name", ["pylock.toml", "pdm.lock"])
def test_a_directory_can_have_the_name_of_a_package(name, tmp_path):
    (tmp_path / "tiny").mkdir()
    directory = write(tmp_path / "tiny", name, LOCKS[name].replace(CONTENT, ""))
    path = directory / "pyproject.toml"
    path.write_text(PROJECT.replace('name = "web"\n', ""))
    project = UvProject.read(directory)
    assert {"program", "tiny"} < {each["name"] for each in project.lock["package"]}
    assert project.name == "program"


def test_a_requirement_can_be_listed_twice(tmp_path):
    commit, address = f"git+https://h.invalid/x@{A[:40]}#subdirectory=d", "https://h.invalid/web.zip"
    lines = [
        f"{each} ; sys_platform {operator} 'linux'"
        for each in (f"one @ {commit}", f"two @ {address}", "three[b]==1", "three[a]==1")
        for operator in ("==", "!=")
    ]
    path = tmp_path / "requirements.txt"
    path.write_text("".join(f"{line} --hash=sha256:{A}\n" for line in lines))
    found = [(line.text, line.hashes) for line in pins(read_lock(path))]
    assert found == [(f"one @ {commit}", ()), (f"two @ {address}", (A,)), ("three[a,b]==1", (A,))]


def six(project, wheels, uv, large=""):
    """Write the other five locks of a project with a uv.lock, each with its files. `large` is a marker."""
    files = {name: sha(wheels / f"{name.replace('-', '_')}-1.0-py3-none-any.whl") for name in NAMES}
    export = [uv, "export", "-q", "--frozen", "--no-dev", "--python", sys.executable, "--format"]
    for form, name in (("pylock.toml", "pylock.toml"), ("requirements.txt", "requirements.txt")):
        subprocess.run([*export, form, "-o", name], cwd=project, check=True)

    def entries(text, key):
        markers = {"large": f"\n{key} = {json.dumps(large)}"} if large else {}
        return "".join(entry(name, digest, text + markers.get(name, "")) for name, digest in files.items())

    hashed = {name: {"version": "==1.0", "hashes": [f"sha256:{digest}"]} for name, digest in files.items()}
    hashed["large"] |= {"markers": large} if large else {}
    return {
        "uv.lock": (project / "uv.lock").read_text(),
        "pylock.toml": (project / "pylock.toml").read_text(),
        "requirements.txt": (project / "requirements.txt").read_text(),
        "poetry.lock": poetry(entries('groups = ["main"]', "markers"), digest=""),
        "pdm.lock": pdm(entries('groups = ["default"]', "marker")).replace(CONTENT, ""),
        "Pipfile.lock": pipenv(hashed, hash={}, requires={}),
    }


def replace_lock(project, name, text):
    for path in (*project.glob("*lock*"), *project.glob("requirements.txt")):
        path.unlink()
    (project / name).write_text(text)


def test_six_locks_of_the_same_pins_give_the_same_layers(machine, bento, tmp_path, wheels, capsys):
    project = machine({"app.py": "import tiny\n"}, *NAMES)
    found = {}
    for name, text in six(project, wheels, os.environ["RULES_BENTO_UV"]).items():
        replace_lock(project, name, text)
        build(bento, project, tmp_path, "--entrypoint", "python app.py", out=name)
        manifest = json.loads(Layout.open(tmp_path / name).find("").content)
        found[name] = [layer["digest"] for layer in manifest["layers"]]
    assert len(found["uv.lock"]) > 3
    assert found == dict.fromkeys(found, found["uv.lock"])


def test_only_files_whose_hashes_the_lock_has_are_installed(machine, bento, tmp_path, wheels):
    project = machine({"app.py": "", "requirements.txt": f"tiny==1.0 --hash=sha256:{A}\n"}, lock=False)
    told = build(bento, project, tmp_path, "--entrypoint", "python app.py", code=1)
    assert "requirements.txt: tiny 1.0: the hashes are of no file of the index" in told
    assert not (tmp_path / "out").exists()
    (project / "requirements.txt").write_text(f"absent==1.0 --hash=sha256:{A}\n")
    told = build(bento, project, tmp_path, "--entrypoint", "python app.py", code=1)
    assert "absent" in told


def test_the_advice_without_a_lock_keeps_the_versions_of_requirements(machine, bento, tmp_path, wheels):
    project = machine({"app.py": "", "requirements.txt": "tiny==1.0\n"}, "tiny", lock=False)
    told = build(bento, project, tmp_path, "--entrypoint", "python app.py", code=1)
    [command] = re.findall("no uv.lock. To keep the versions of requirements.txt, run `uv (.*?)`. Otherwise, run", told)
    subprocess.run(
        [os.environ["RULES_BENTO_UV"], *command.split(), "-q", "--python", sys.executable], cwd=project, check=True
    )
    assert "Packages: tiny==1.0\n" in build(bento, project, tmp_path, "--entrypoint", "python app.py", "--dry-run")
    for name in ("requirements.lock.txt", "requirements.txt"):
        (project / name).unlink()
    (project / "pixi.lock").touch()
    told = build(bento, project, tmp_path, "--entrypoint", "python app.py", code=1)
    assert "To keep the versions of pixi.lock, require them in pyproject.toml. Otherwise, run `uv lock`" in told


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("poetry.lock", "Run `poetry add uvicorn`, or"), ("requirements.txt", "Add uvicorn to requirements.txt, or")],
)
def test_the_advice_to_add_a_package_is_for_the_tool_of_the_lock(name, remedy, machine, bento, tmp_path, wheels):
    project = machine({"main.py": "import fastapi\n\napp = fastapi.FastAPI()\n"}, *NAMES)
    replace_lock(project, name, six(project, wheels, os.environ["RULES_BENTO_UV"])[name])
    assert f"the packages include no server for it. {remedy} set --entrypoint." in build(
        bento, project, tmp_path, code=1
    )


def test_a_project_can_require_one_release_of_python(machine, bento, tmp_path, wheels):
    project = machine({"app.py": ""}, "tiny")
    replace_lock(project, "requirements.txt", f"tiny==1.0 --hash=sha256:{A}\n")
    path = project / "pyproject.toml"
    path.write_text(path.read_text().replace('requires-python = ">=3.9"', 'requires-python = "==3.13.7"'))
    assert UvProject.read(project).default_python == "3.13"
    told = build(bento, project, tmp_path, "--entrypoint", "python app.py", code=1)
    assert "has Python 3.11, but the project requires Python ==3.13.7. Use a base image with such a version." in told


def test_the_base_of_a_lock_of_debian_packages_has_the_python_of_the_project(machine, bento, monkeypatch):
    project = machine({}, lock=False)
    replace_lock(project, "requirements.txt", f"tiny==1.0 --hash=sha256:{A}\n")
    path = project / "pyproject.toml"
    path.write_text(path.read_text().replace('requires-python = ">=3.9"', 'requires-python = ">=3.13"'))
    monkeypatch.setattr(debian_lock, "DEFAULT_BASE", "127.0.0.1:9/library/python:{}-slim")
    monkeypatch.setattr(transfers, "_FIRST_WAIT", 0.001)
    assert "127.0.0.1:9/library/python:3.13-slim" in bento("lock", project, "--apt", "vim", code=1)


def test_settings_of_uv_apply_to_other_locks(machine, bento, tmp_path, wheels):
    project = machine({"app.py": ""}, *NAMES, pyproject='[tool.uv]\nno-binary-package = ["tiny"]\n')
    replace_lock(project, "pylock.toml", six(project, wheels, os.environ["RULES_BENTO_UV"])["pylock.toml"])
    told = build(bento, project, tmp_path, "--entrypoint", "python app.py", code=1)
    assert "tiny==1.0: the lock has no wheel for linux/amd64" in told
    assert "and run `uvx migrate-to-uv`, which keeps the locked versions, add tiny = { path" in told


def test_markers_of_a_lock_select_for_each_platform(machine, bento, tmp_path, wheels):
    marker = "platform_machine == 'aarch64'"
    project = machine({"app.py": ""}, "acme-tools", "tiny", f"large ; {marker}")
    entries, platforms, found = [], [], {}
    for architecture in ("amd64", "arm64"):
        make_base(tmp_path / "base", architecture=architecture)
        entries += json.loads((tmp_path / "base/index.json").read_text())["manifests"]
        platforms += ["--platform", f"linux/{architecture}"]
    (tmp_path / "base/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    for name, text in six(project, wheels, os.environ["RULES_BENTO_UV"], marker).items():
        replace_lock(project, name, text)
        told = build(bento, project, tmp_path, "--entrypoint", "python app.py", "--dry-run", *platforms)
        found[name] = re.findall("Packages: (.*)", told)
    listed = ["acme-tools==1.0, tiny==1.0", "acme-tools==1.0, large==1.0, tiny==1.0"]
    assert found == dict.fromkeys(found, listed)


def test_advice_on_a_wheel_of_ones_own_keeps_the_versions_of_the_lock(machine, bento, tmp_path, wheels):
    """`uv lock` alone would replace another lock by the newest versions."""
    back_end = '[build-system]\nrequires = []\nbuild-backend = "absent"\nbackend-path = ["."]\n'
    project = machine({"main.py": ""}, "tiny", pyproject=back_end)
    assert "requires the wheel, add web = {" in build(bento, project, tmp_path, "--entrypoint", "x", code=1)
    (project / "uv.lock").unlink()
    pin = f"tiny==1.0 --hash=sha256:{sha(next(wheels.glob('tiny-1.0-*')))}\n"
    (project / "requirements.txt").write_text(pin)
    told = build(bento, project, tmp_path, "--entrypoint", "x", code=1)
    assert "requires the wheel, run `uvx migrate-to-uv`, which keeps the locked versions, add web = {" in told


def test_a_note_names_the_locks_that_are_not_read(machine, bento, tmp_path, wheels):
    project = machine(
        {"app.py": "", "requirements.txt": f"tiny==1.0 --hash=sha256:{A}\n", "pylock.dev.toml": ""}, "tiny"
    )
    told = build(bento, project, tmp_path, "--entrypoint", "python app.py")
    assert f"{project}: the packages are those of uv.lock, not of pylock.dev.toml, requirements.txt." in told


@pytest.mark.parametrize(
    ("text", "expected"),
    [("^3.9", ">=3.9,<4"), ("~3.11", ">=3.11,<3.12"), (">=3.9,<4.0", ">=3.9,<4.0"), ("<3 || >=3.10 <3.13", ">=3.10,<3.13"),
     ("3.11", "==3.11"), ("3.11.*", "==3.11.*"), ("~=3.9", "~=3.9"), ("*", "")],
)  # fmt: skip
def test_the_range_of_python_in_a_lock_of_poetry_is_one_of_pep_440(text, expected, tmp_path):
    lock = poetry(entry("tiny")).replace("^3.9", text)
    assert UvProject.read(write(tmp_path, "poetry.lock", lock)).lock["requires-python"] == expected
