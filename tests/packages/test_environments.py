"""What an isolated interpreter sees of its environment, without a start of the interpreter."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from rules_bento.base import namespaces
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages.interpreter_files import named_environment, wheel_environment
from rules_bento.bentos.packages.virtualenv import make_environment

VERSION = "python{}.{}".format(*sys.version_info)
SYSTEM = ("/usr", "/bin", "/lib", "/lib64")


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def write(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("", "utf-8")
    return directory


def environment(directory: Path, settings: str = "") -> tuple[Path, Path]:
    """An environment of an installation that doesn't run. Returns the interpreter and site-packages."""
    installed = write(directory / "installed", "bin/python3.11", "lib/python3.11/os.py", "secret")
    python, site = directory / "env/bin/python", directory / "env/lib/python3.11/site-packages"
    python.parent.mkdir(parents=True)
    site.mkdir(parents=True)
    python.symlink_to(installed / "bin/python3.11")
    (directory / "env/pyvenv.cfg").write_text(f"home = {installed}/bin\n{settings}", "utf-8")
    return python, site


def shown(python: Path) -> set[str]:
    return set(named_environment(python).visible)


@pytest.mark.parametrize("options", [{}, {"system_site_packages": True}, {"symlinks": False}])
def test_everything_on_the_path_of_a_real_interpreter_is_visible(tmp_path, home, options):
    """With directories of `.pth` files, and links on the way to the interpreter."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to(os.path.realpath(sys.executable))
    venv = pytest.importorskip("venv", reason="Debian packs the module separately")
    venv.EnvBuilder(**{"symlinks": True, **options}).create(tmp_path / "env")
    python = tmp_path / "env/bin/python"
    if options.get("symlinks", True):
        python.unlink()
        python.symlink_to("../../bin/python3")
    [site] = (tmp_path / "env/lib").glob("python3*/site-packages")
    write(tmp_path / "library", "src/library.py", "other/package/__init__.py")
    (site / "a.pth").write_text("../../../../library/src\n# no\nimport os\n\nnowhere\n", "utf-8")
    (site / "b.pth").write_text(f"{tmp_path}/library/other\n", "utf-8")
    write(site, "# no/module.py")  # a comment, though there is such a directory
    program = "import json, os, sys; print(json.dumps([*sys.path[1:], os.__file__, sys.executable]))"
    command = [str(python), "-c", program]
    paths = json.loads(subprocess.run(command, env={}, check=True, capture_output=True, text=True).stdout)
    found = named_environment(python)
    assert tmp_path / "library/src" in found.modules
    assert tmp_path / "library/other" in found.modules
    assert site / "# no" not in found.modules
    for path in filter(os.path.exists, paths):
        assert any(Path(path).is_relative_to(each) for each in (*found.visible, *SYSTEM)), path
    link = str(tmp_path / "bin/python3")
    assert (link in found.visible) == options.get("symlinks", True)


def test_only_parts_of_an_environment_and_its_installation_are_visible(tmp_path, home):
    python, _ = environment(tmp_path)
    (tmp_path / "env/share").symlink_to(home)
    (tmp_path / "env/lib64").symlink_to("lib")
    (tmp_path / "env/include").symlink_to("/etc")
    env, installed = tmp_path / "env", tmp_path / "installed"
    expected = [env / "bin", env / "lib", env / "lib64", env / "pyvenv.cfg", installed / "bin", installed / "lib"]
    assert shown(python) == {*map(str, expected), str(installed / "bin/python3.11")}


@pytest.mark.parametrize("path", ["home/bin", "nowhere/bin", "relative"])
def test_a_directory_without_an_installation_is_not_visible(tmp_path, home, path):
    python, _ = environment(tmp_path)
    directory = path if path == "relative" else tmp_path / path
    (tmp_path / "env/pyvenv.cfg").write_text(f"home = {directory}\nhome = /a\0b\n\xff", "utf-8")
    assert not [each for each in shown(python) if not each.startswith((f"{tmp_path}/env/", f"{tmp_path}/installed/"))]


def test_a_directory_with_packages_and_a_link_to_the_interpreter_is_no_installation(tmp_path, home):
    """`pip install --user` and `uv python install` both write to ~/.local, and `share` there has keys."""
    python, _ = environment(tmp_path)
    write(home / ".local", "lib/python3.11/site-packages/a.py", "share/keyrings/login")
    (home / ".local/bin").mkdir()
    (home / ".local/bin/python3.11").symlink_to(tmp_path / "installed/bin/python3.11")
    (tmp_path / "env/pyvenv.cfg").write_text(f"home = {home}/.local/bin\n", "utf-8")
    python.unlink()
    python.symlink_to(home / ".local/bin/python3.11")
    link = str(home / ".local/bin/python3.11")
    assert {path for path in shown(python) if path.startswith(str(home))} == {link}
    assert {f"{tmp_path}/installed/bin", f"{tmp_path}/installed/lib"} <= shown(python)


def test_an_interpreter_without_an_environment_is_that_of_its_installation(tmp_path, home):
    python, _ = environment(tmp_path)
    write(tmp_path / "installed/lib/python3.11/site-packages", "bentoml/__init__.py", "space/module.py")
    installed = named_environment(tmp_path / "installed/bin/python3.11")
    assert (installed.has_module("bentoml"), installed.has_module("space")) == (True, False)
    assert set(installed.visible) == {f"{tmp_path}/installed/bin", f"{tmp_path}/installed/lib"}
    assert named_environment(python).has_module("bentoml"), "pyvenv.cfg says nothing else"
    (tmp_path / "env/pyvenv.cfg").write_text(
        f"home = {tmp_path}/installed/bin\ninclude-system-site-packages = false\n", "utf-8"
    )
    assert not named_environment(python).has_module("bentoml")


def test_links_show_unpacked_wheels_and_modules(tmp_path, home):
    """As uv makes them with `--link-mode symlink`, and flit."""
    python, site = environment(tmp_path)
    cache = write(tmp_path / "cache/a1", "pack/__init__.py", "pack/data.bin", "pack-1.dist-info/RECORD")
    own = write(tmp_path / "projects", "own/__init__.py", "secret", "single.py", "notes.txt", "empty/notes.txt")
    write(home, ".ssh/id", ".ssh/key.pem")
    for name, target in {
        "pack/__init__.py": cache / "pack/__init__.py",
        "pack/data.bin": cache / "pack/data.bin",
        "own": own / "own",
        "single.py": own / "single.py",
        "notes.txt": own / "notes.txt",
        "empty": own / "empty",
        "module.py": home / ".ssh/id",
        ".ssh": home / ".ssh",
        "inside": site,
        "nowhere": tmp_path / "nowhere",
        "etc/hosts": "/etc/hosts",
        "loop": "loop",
        "loop.pth": "loop.pth",
    }.items():
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).symlink_to(target)
    (site / "pack/loop").symlink_to("loop")
    others = {path for path in shown(python) if not path.startswith((f"{tmp_path}/env/", f"{tmp_path}/installed/"))}
    assert others == {str(cache), str(own / "own"), str(own / "single.py")}


def mirror(directory: Path, real: Path) -> Path:
    """A directory of links to files, as Bazel's runfiles are."""
    for path in filter(Path.is_file, real.rglob("*")):
        link = directory / path.relative_to(real)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    return directory


def test_links_in_linked_directories_are_followed(tmp_path, home):
    """In tests of Bazel, links lead to the links of the sandbox, and these to the files."""
    python, site = environment(tmp_path)
    real = write(tmp_path / "execroot/wheel", "pack/__init__.py", "pack/data.bin", "pack-1.dist-info/RECORD")
    wheel = mirror(tmp_path / "runfiles/wheel", mirror(tmp_path / "sandbox/wheel", real))
    own = write(tmp_path / "execroot/own", "own/__init__.py", "own/deep/module.py", "own/secret", "other/a.py")
    own = mirror(tmp_path / "sandbox/own", own)
    (site / "pack").symlink_to(wheel / "pack")
    (site / "own").symlink_to(own / "own")
    found = shown(python)
    assert {str(wheel), str(tmp_path / "sandbox/wheel"), str(real)} <= found
    assert {str(tmp_path / "execroot/own/own" / name) for name in ("__init__.py", "deep/module.py")} <= found
    assert not [path for path in found if "secret" in path or "other" in path]


def test_links_in_linked_directories_show_no_files_of_the_user(tmp_path, home):
    python, site = environment(tmp_path)
    write(home, ".ssh/id", ".config/token.json", "secret/a/b/c/d.py")
    library = write(tmp_path / "library", "library/__init__.py", "second/__init__.py")
    for name, target in {
        "key.py": home / ".ssh/id",
        "second.py": library / "library/key.py",
        ".ssh": home / ".ssh",
        "token.json": home / ".config/token.json",
        "secret": home / "secret",
        "second": library / "second",
    }.items():
        (library / "library" / name).symlink_to(target)
    (site / "library").symlink_to(library / "library")
    (site / "key.py").symlink_to(library / "library/key.py")
    others = {path for path in shown(python) if not path.startswith((f"{tmp_path}/env/", f"{tmp_path}/installed/"))}
    assert others == {str(library / "library"), str(library / "second")}
    (library / "second/all").symlink_to(tmp_path)
    with pytest.raises(BentoError, match=r"second/all: the file refers to .*, which contains your home directory"):
        named_environment(python)


def test_an_unreadable_directory_has_no_links(tmp_path, home, monkeypatch):
    python, site = environment(tmp_path)
    write(tmp_path / "library/pack", "__init__.py")
    (site / "pack").symlink_to(tmp_path / "library/pack")
    (site / "data").mkdir()
    scan = os.scandir

    def scandir(path=".", *arguments):
        if str(path).endswith("/data"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path, *arguments)

    monkeypatch.setattr(os, "scandir", scandir)
    assert str(tmp_path / "library/pack") in shown(python)


def test_references_to_unreadable_directories_are_ignored(tmp_path, home, monkeypatch):
    python, site = environment(tmp_path)
    before = shown(python)
    stat, closed = os.stat, tmp_path / "closed"
    (site / "a.pth").write_text(f"{closed}/library\nimport site; site.addsitedir('{closed}/x')\n", "utf-8")
    for name in ("pack", "module.py", "b.pth", "a-1.dist-info/direct_url.json"):
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).symlink_to(closed / name)

    def of_the_user(path, *arguments, **options):
        if os.path.realpath(path).startswith(f"{closed}/"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", of_the_user)
    assert shown(python) == before


def test_a_directory_with_too_many_files_is_rejected(tmp_path, home, monkeypatch):
    python, site = environment(tmp_path)
    write(tmp_path / "data", *(f"{number}.py" for number in range(4)))
    write(site).joinpath("x.pth").write_text(f"{tmp_path}/data\n", "utf-8")
    monkeypatch.setattr(namespaces, "_MAX_FILES", 3)
    with pytest.raises(BentoError, match=f"{tmp_path}/data: an import can't read a directory with more than 3 files"):
        named_environment(python)


@pytest.mark.parametrize("path", ["/", "home", "home/..", "home/../home/"])
@pytest.mark.parametrize("form", ["{site}/x.pth", "{site}/x-1.dist-info/direct_url.json", "{site}/link"])
def test_a_reference_to_the_home_directory_is_rejected(tmp_path, home, path, form):
    python, site = environment(tmp_path)
    file, directory = Path(form.format(site=site)), tmp_path / path
    write(home, "setup.py")
    file.parent.mkdir(exist_ok=True)
    if file.suffix == ".json":
        file.write_text(json.dumps({"url": f"file://{directory}", "dir_info": {"editable": True}}), "utf-8")
    elif file.suffix:
        file.write_text(f"{directory}\n", "utf-8")
    else:
        file.symlink_to(directory)
    with pytest.raises(BentoError) as raised:
        named_environment(python)
    assert str(raised.value).startswith(f"{file}: the file refers to ")
    assert "contains your home directory" in str(raised.value)


def test_hidden_directories_of_the_user_are_visible_only_with_packages(tmp_path, home):
    python, site = environment(tmp_path)
    write(home, ".config/qtile/config.py", ".config/gh/hosts.yml", ".second/own.py", ".dotfiles/own/own.py")
    cache = write(home / ".cache/uv/a1", "pack/__init__.py", "pack-1.dist-info/RECORD")
    write(home, "projects/.worktrees/library/setup.py", "projects/library/setup.py")
    lines = [".config", ".config/qtile", ".dotfiles/own", "projects/.worktrees/library", "projects/library"]
    (site / "x.pth").write_text("".join(f"{home}/{line}\n" for line in lines), "utf-8")
    write(site, "x-1.dist-info/RECORD")
    text = json.dumps({"url": f"file://{home}/.config", "dir_info": {"editable": True}})
    (site / "x-1.dist-info/direct_url.json").write_text(text, "utf-8")
    (site / "config").symlink_to(home / ".config")
    (site / "own.py").symlink_to(home / ".second/own.py")
    (site / "pack").symlink_to(cache / "pack")
    expected = {str(cache), str(home / "projects/library"), str(home / ".second/own.py")}
    assert {path for path in shown(python) if path.startswith(str(home))} == expected


def test_an_environment_of_uv_run_shows_the_environment_below_it(tmp_path):
    """`uv run --with` adds the packages and the project's environment by code in a `.pth` file."""
    with zipfile.ZipFile(tmp_path / "pack-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("pack.py", "")
        wheel.writestr("pack-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: pack\nVersion: 1\n")
        wheel.writestr("pack-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\nRoot-Is-Purelib: true\n")
        wheel.writestr("pack-1.dist-info/RECORD", "")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.10"\n')
    uv, offline = os.environ["RULES_BENTO_UV"], ["--offline", "--no-index", "--find-links", str(tmp_path)]
    variables = {"UV_CACHE_DIR": str(tmp_path / "cache"), "HOME": str(tmp_path / "home"), "PATH": os.defpath}
    subprocess.run([uv, "venv", "-q", "--python", sys.executable], cwd=tmp_path, env=variables, check=True)
    write(tmp_path / ".venv/lib" / VERSION / "site-packages", "below/__init__.py", "x.pth").joinpath(
        "x.pth"
    ).write_text(f"{write(tmp_path / 'src', 'editable.py')}\n")
    program = f"""
import sys; sys.path.extend({sys.path!r})
from pathlib import Path
from rules_bento.bentos.packages.interpreter_files import named_environment
print(*(path for path in named_environment(Path(sys.executable)).modules), sep="\\n")"""
    command = [uv, "run", "-q", "--no-sync", *offline, "--with", "pack", "python", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=variables, check=True, capture_output=True, text=True)
    modules = [Path(line) for line in done.stdout.splitlines()]
    for name in ("pack.py", "below/__init__.py", "editable.py"):
        assert [path for path in modules if (path / name).is_file()], name


def test_a_chain_of_added_directories_ends(tmp_path, home):
    python, site = environment(tmp_path)
    places = [site, *(write(tmp_path / f"chain/{number}", "a.py") for number in range(200))]
    for place, following in zip(places, [*places[1:], site], strict=True):
        same = "".join(f'site.addsitedir("{following}/{"./" * number}"); ' for number in range(3))
        (place / "x.pth").write_text(f"import site; {same}\n", "utf-8")
    assert set(named_environment(python).modules) == {*places}


@pytest.mark.parametrize(
    "text",
    [
        '{"url": "file:///etc"}',
        '{"url": "file:///etc", "dir_info": []}',
        '{"url": "file:///etc", "dir_info": {"editable": false}}',
        '{"url": ["file:///etc"], "dir_info": {"editable": true}}',
        '{"url": "file://etc", "dir_info": {"editable": true}}',
        '{"url": "https://example.org", "dir_info": {"editable": true}}',
        '{"url": "file:///dev/null", "dir_info": {"editable": true}}',
        '{"url": "file:///a%00b", "dir_info": {"editable": true}}',
        '{"url": "file:///loop", "dir_info": {"editable": true}}',
    ],
)
def test_other_origins_of_a_package_show_nothing(tmp_path, home, text):
    python, site = environment(tmp_path)
    before = shown(python)
    (tmp_path / "loop").symlink_to("loop")
    (site / "x.pth").mkdir()
    os.mkfifo(site / "y.pth")
    (site / "z.pth").write_text(f"{tmp_path}/loop\na\0b\n", "utf-8")
    text = text.replace("file:///loop", f"file://{tmp_path}/loop")
    write(site, "x-1.dist-info/direct_url.json").joinpath("x-1.dist-info/direct_url.json").write_text(text, "utf-8")
    assert shown(python) == before


def test_nothing_in_a_wheel_makes_another_file_visible(tmp_path, home):
    root = write(
        tmp_path / "wheel", "module.py", "x-1.dist-info/direct_url.json", "lib/python3.11/os.py", "bin/python3"
    )
    write(tmp_path / "library", "library.py")
    text = json.dumps({"url": f"file://{tmp_path}/library", "dir_info": {"editable": True}})
    (root / "x-1.dist-info/direct_url.json").write_text(text, "utf-8")
    (root / "x.pth").write_text(f"{tmp_path}/library\n", "utf-8")
    (root / "pyvenv.cfg").write_text(f"home = {tmp_path}/library/bin\n", "utf-8")
    python = make_environment(tmp_path / "env", [root])
    found = wheel_environment(python, [root])
    assert str(root) in found.visible
    assert not [path for path in found.visible if path.startswith(str(tmp_path / "library"))]


def test_links_of_a_sandbox_are_followed(tmp_path, home):
    """Bazel's links have the same path below the directory to which they lead."""
    real = write(tmp_path / "execroot/wheel", "pack/__init__.py")
    root = tmp_path / "sandbox/wheel"
    (root / "pack").mkdir(parents=True)
    (root / "pack/__init__.py").symlink_to(real / "pack/__init__.py")
    python = make_environment(tmp_path / "env", [root])
    assert {str(root), str(real)} <= {*wheel_environment(python, [root]).visible}
    assert set(namespaces.targets([str(root)])) == {str(root), str(real)}


def test_links_of_an_installation_are_followed_but_not_in_directories_that_no_wheel_imports(
    tmp_path, home, monkeypatch
):
    installed = write(tmp_path / "installed", "bin/python3", f"lib/{VERSION}/os.py")
    root = write(tmp_path / "wheel", "test/__init__.py")
    library = write(tmp_path / "library", *(f"{name}.so" for name in "abcdf"))
    places = ("lib", "site-packages", "dist-packages", "test")
    for name, place in zip("abcd", (f"lib/{VERSION}/{place}" for place in places), strict=True):
        (installed / place).mkdir(parents=True, exist_ok=True)
        (installed / place / "linked.so").symlink_to(library / f"{name}.so")
    (root / "test/linked.so").symlink_to(library / "f.so")
    monkeypatch.setattr(sys, "executable", str(installed / "bin/python3"))
    visible = wheel_environment(make_environment(tmp_path / "env", [root]), [root]).visible
    assert {Path(path).name for path in visible if Path(path).parent == library} == {"a.so", "f.so"}
