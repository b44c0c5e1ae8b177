"""tools/bazel and tools/provision_bazel.py, with a Debian, a root file system and programs that are made up.

The last test provisions the real one, which takes a minute and a network: it runs if RULES_BENTO_PROVISION_TEST is 1.
"""

import fcntl
import importlib.util
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
REMEDY = "Install bazelisk, or set BAZEL_REAL to the path of a Bazel binary."

_unshare = ["unshare", "--mount", *(["--map-root-user"] if os.getuid() else []), "mount", "--bind", "/usr", "/boot"]
needs_namespaces = pytest.mark.skipif(
    subprocess.run(_unshare, capture_output=True, check=False).returncode != 0, reason="no mount namespaces here"
)


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)
    return path


class Launcher:
    """A copy of tools/bazel with a recipe that is not the real one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.program = directory / "checkout/tools/bazel"
        self.program.parent.mkdir(parents=True)
        shutil.copy(TOOLS / "bazel", self.program)
        self.recipe("import sys; sys.exit('no recipe')")
        # What the launcher calls; the whole of /usr/bin may have a bazel.
        for name in ("id", "python3", "readlink", "sha256sum"):
            (directory / "system").mkdir(exist_ok=True)
            (directory / "system" / name).symlink_to(shutil.which(name, path=SYSTEM_PATH) or name)
        self.variables = {"HOME": str(directory / "home"), "PATH": str(directory / "system")}

    def recipe(self, text: str) -> None:
        (self.program.parent / "provision_bazel.py").write_text(text)

    def start(self, *arguments: str, program: Path | None = None, cwd: Path | None = None, **variables: str):
        return subprocess.Popen(
            [str(program or self.program), *arguments],
            cwd=cwd or self.directory,
            env=self.variables | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **options) -> tuple[int, str, str]:
        process = self.start(*arguments, **options)
        output, errors = process.communicate(timeout=600)
        return process.returncode, output, errors


@pytest.fixture
def launcher(tmp_path: Path):
    return Launcher(tmp_path)


def test_bazel_real_gets_the_arguments_and_gives_the_exit_code(launcher: Launcher, tmp_path: Path):
    real = script(tmp_path / "a bazel", 'printf "<%s>" "$@"; exit 37')
    script(tmp_path / "bin/bazel", "echo other")
    path = f"{tmp_path}/bin:{launcher.variables['PATH']}"
    assert launcher.run("run", "a b", "", "*", BAZEL_REAL=str(real), PATH=path) == (37, "<run><a b><><*>", "")


def test_bazel_real_that_is_not_a_program(launcher: Launcher):
    code, output, errors = launcher.run("info", BAZEL_REAL="/nowhere/bazel")
    assert (code, output) == (1, "")
    assert errors == f"tools/bazel: BAZEL_REAL: /nowhere/bazel isn't an executable file. {REMEDY}\n"


@pytest.mark.parametrize(
    ("programs", "code", "output", "errors"),
    [
        ({"1/bazel": "echo bazel", "2/bazelisk": 'echo "bazelisk $*"'}, 0, "bazelisk info x\n", ""),
        # Wrappers that come back: none is started again, and BAZEL_REAL is Bazel.
        ({"1/bazel": 'echo wrapper; exec "{launcher}" "$@"'}, 1, "wrapper\n", "no recipe\n"),
        ({"0/real": 'echo "real $*"', "1/bazelisk": 'BAZEL_REAL="{directory}/0/real" "{launcher}" "$@"'}, *(0, "real info x\n", "")),
        ({"1/python3": "exit 1"}, *(1, "", f"tools/bazel: Bazel isn't on PATH, and provisioning it requires Python 3.10 or later. {REMEDY}\n")),
    ],
    ids=["bazelisk", "wrapper", "bazelisk with BAZEL_REAL", "old Python"],
)  # fmt: skip
def test_programs_on_path(launcher: Launcher, tmp_path: Path, programs, code, output, errors):
    for path, text in programs.items():
        script(tmp_path / path, text.replace("{launcher}", str(launcher.program)).replace("{directory}", str(tmp_path)))
    path = f"{tmp_path}/0:{tmp_path}/1:{tmp_path}/2:{launcher.variables['PATH']}"
    assert launcher.run("info", "x", PATH=path) == (code, output, errors)


def test_an_invalid_program_is_passed_over(launcher: Launcher, tmp_path: Path):
    (tmp_path / "1/bazelisk").mkdir(parents=True)
    script(tmp_path / "2/bazel", "echo wrong").chmod(0o644)
    script(tmp_path / "with space/bazel", "echo right")
    path = f"{tmp_path}/1:{tmp_path}/2:{tmp_path}/with space:{launcher.variables['PATH']}"
    assert launcher.run(PATH=path) == (0, "right\n", "")


def test_the_launcher_on_path_is_not_taken_for_a_bazel(launcher: Launcher, tmp_path: Path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links/bazel").symlink_to(launcher.program)
    script(tmp_path / "bin/bazel", "echo found")
    path = f"{launcher.program.parent}:{tmp_path}/links:{tmp_path}/bin:{launcher.variables['PATH']}"
    assert launcher.run(PATH=path) == (0, "found\n", "")
    assert launcher.run(PATH=path, program=tmp_path / "links/bazel") == (0, "found\n", "")


def test_two_launchers_on_path_do_not_call_each_other_forever(launcher: Launcher, tmp_path: Path):
    other = Launcher(tmp_path / "other")
    path = f"{launcher.program.parent}:{other.program.parent}:{launcher.variables['PATH']}"
    assert launcher.run(PATH=path)[1:] == ("", "no recipe\n")


# The root of the next tests: a shell, and a bazel that is a script for it.
BAZEL = """\
case $1 in
    arguments) shift; printf '<%s>' "$@" ;;
    exit) exit "$2" ;;
    read) read -r line; echo "$line" ;;
    show) shift; for name; do eval "echo \\"$name=\\${$name-unset}\\""; done ;;
    type) while read -r line; do echo "$line"; done <"$2" ;;
    wait) trap 'echo stopped; exit 9' TERM INT; echo "$$"; read -r line ;;
    where) pwd -P ;;
    write) : >"$2" ;;
esac
"""


def copy_program(root: Path, name: str) -> None:
    """Copies a program of the host and its libraries."""
    program = Path(shutil.which(name, path=SYSTEM_PATH) or "")
    libraries = re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", program], capture_output=True, text=True).stdout)
    for file in [program, *map(Path, libraries)]:
        to = root / "usr" / str(file).removeprefix("/").removeprefix("usr/")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, to)


@pytest.fixture
def provisioned(launcher: Launcher, tmp_path: Path):
    """A launcher whose recipe copies a root file system with hardly anything in it."""
    root = tmp_path / "made-up"
    for name in ("sh", "unshare"):
        copy_program(root, name)
    script(root / "usr/bin/bazel", BAZEL)
    (root / "etc").mkdir()
    (root / "etc/hosts").symlink_to("/boot/hosts")
    (root / "etc/certificates").touch()
    launcher.recipe(
        "import shutil, sys\n"
        f"shutil.copytree({str(root)!r}, sys.argv[1] + '/root', symlinks=True)\n"
        "print('provisioned', file=sys.stderr)\n"
    )
    return launcher


@needs_namespaces
def test_later_starts_provision_nothing_and_print_nothing(provisioned: Launcher, tmp_path: Path):
    arguments = ("arguments", "a b", "", "$HOME", "*")
    output = "<a b><><$HOME><*>"
    assert provisioned.run(*arguments) == (0, output, "provisioned\n")
    assert provisioned.run(*arguments) == (0, output, "")
    assert len(list((tmp_path / "home/.cache/rules_bento/bazel").iterdir())) == 1


@needs_namespaces
def test_another_recipe_provisions_again(provisioned: Launcher):
    provisioned.run("exit", "0")
    recipe = provisioned.program.parent / "provision_bazel.py"
    recipe.write_text(recipe.read_text() + "# changed\n")
    assert provisioned.run("exit", "0") == (0, "", "provisioned\n")


@needs_namespaces
def test_the_cache_is_where_xdg_says(provisioned: Launcher, tmp_path: Path):
    provisioned.run("exit", "0", XDG_CACHE_HOME=str(tmp_path / "elsewhere"))
    assert (tmp_path / "elsewhere/rules_bento/bazel").is_dir()
    assert not (tmp_path / "home").exists()


@needs_namespaces
def test_exit_codes_and_standard_input_pass(provisioned: Launcher):
    assert provisioned.run("exit", "37")[0] == 37
    process = provisioned.start("read")
    assert process.communicate("a line\n")[0] == "a line\n"


@needs_namespaces
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_bazel_itself(provisioned: Launcher, number: signal.Signals):
    provisioned.run("exit", "0")
    process = provisioned.start("wait")
    assert process.stdout.readline() == f"{process.pid}\n"  # no process stands between
    process.send_signal(number)
    assert process.communicate(timeout=600) == ("stopped\n", "")
    assert process.returncode == 9


@needs_namespaces
def test_works_from_any_directory_and_through_links(provisioned: Launcher, tmp_path: Path):
    nested = tmp_path / "checkout/e2e/smoke test"
    nested.mkdir(parents=True)
    assert provisioned.run("where", cwd=nested)[:2] == (0, f"{nested.resolve()}\n")
    link = tmp_path / "link"
    link.symlink_to(provisioned.program)
    assert provisioned.run("where", cwd=nested, program=link) == (0, f"{nested.resolve()}\n", "")


@needs_namespaces
def test_environment_passes_but_for_paths_that_lead_nowhere(provisioned: Launcher):
    given = {"http_proxy": "http://proxy", "PIP_INDEX_URL": "a b", "NETRC": "/n", "SSL_CERT_FILE": "/etc/certificates"}
    code, output, _ = provisioned.run(
        "show", *given, "SSL_CERT_DIR", "PIP_CERT", "RULES_BENTO_LAUNCHER", SSL_CERT_DIR="/usr/no", PIP_CERT="", **given
    )
    shown = dict(line.split("=", 1) for line in output.splitlines())
    assert code == 0
    assert shown == given | dict.fromkeys(("SSL_CERT_DIR", "PIP_CERT", "RULES_BENTO_LAUNCHER"), "unset")


@needs_namespaces
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "LC_ALL=C.UTF-8\n"),
        ({"LANG": "C"}, "LC_ALL=C.UTF-8\n"),
        ({"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, "LC_ALL=C.UTF-8\n"),
        ({"LANG": "C.UTF-8"}, "LC_ALL=unset\n"),
        ({"LC_ALL": "tr_TR.utf8"}, "LC_ALL=tr_TR.utf8\n"),
    ],
)
def test_file_names_are_utf_8_in_every_locale(provisioned: Launcher, variables: dict[str, str], expected: str):
    assert provisioned.run("show", "LC_ALL", **variables)[1] == expected


@needs_namespaces
def test_path_is_that_of_the_root(provisioned: Launcher, tmp_path: Path):
    _, output, _ = provisioned.run("show", "PATH", PATH=f"{tmp_path}:{provisioned.variables['PATH']}")
    assert output == "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin\n"


@needs_namespaces
def test_the_root_is_read_only_and_the_rest_is_the_hosts(provisioned: Launcher, tmp_path: Path):
    assert provisioned.run("type", "/etc/hosts")[1] == Path("/etc/hosts").read_text()
    assert provisioned.run("write", str(tmp_path / "file"))[0] == 0
    assert (tmp_path / "file").exists()
    for path in ("/usr/file", "/etc/file"):
        code, _, errors = provisioned.run("write", path)
        assert code != 0
        assert "Read-only" in errors


@needs_namespaces
def test_a_directory_of_the_operating_system_is_rejected(provisioned: Launcher):
    provisioned.run("exit", "0")
    code, _, errors = provisioned.run("where", cwd=Path("/usr/share"))
    assert code == 1
    assert errors == (
        f"tools/bazel: /usr/share is a system directory, which the provisioned Bazel can't access. {REMEDY}\n"
    )


# The made-up Debian of the next tests: what the recipe calls, and what its packages bring.
APT_GET = """\
case "$*" in
    indextargets*)
        echo "$RELEASE main http://mirror.invalid/debian/" ;;
    *update)
        if grep -q "Suites: ${WITHOUT:-none}" "$(dirname "$2")/sources/debian.sources"; then
            echo "W: ignored" >&2
            echo "E: The repository cannot be reached" >&2
            exit 100
        fi ;;
    *--print-uris*)
        echo "Reading package lists..."
        echo "'http://mirror.invalid/base-files.deb' base-files_1_all.deb 1000000 SHA256:0"
        echo "'http://mirror.invalid/bazel-bootstrap.deb' bazel-bootstrap_7.7.1_all.deb 2000000 SHA256:0" ;;
    *--download-only*)
        echo download >>"$FAKES/log"
        touch "$(dirname "$2")/cache/archives/base-files_1_all.deb"
        touch "$(dirname "$2")/cache/archives/bazel-bootstrap_1%3a7.7.1_all.deb" ;;
esac
"""
DPKG_DEB = """\
case $2 in
    */bazel-bootstrap_*) cp -r "$FAKES/tree/." "$3" ;;
    *) touch "$FAKES/unpacking"; sleep "${SLEEP:-0}" ;;
esac
"""


class Recipe:
    """The real tools/provision_bazel.py with programs that pretend."""

    def __init__(self, directory: Path) -> None:
        release = re.search(r"^VERSION_CODENAME=(\S+)$", Path("/etc/os-release").read_text(), re.MULTILINE)
        self.store = directory / "cache/bazel/digest"
        self.unfinished = self.store.with_suffix(".unfinished")
        self.variables = {
            "FAKES": str(directory),
            "PATH": f"{directory}/bin:{SYSTEM_PATH}",
            "RELEASE": release.group(1) if release else "sid",
        }
        script(directory / "bin/apt-get", APT_GET)
        script(directory / "bin/dpkg", 'echo "${ARCHITECTURE:-amd64}"')
        script(directory / "bin/dpkg-deb", DPKG_DEB)
        script(directory / "bin/locale", "echo C.utf8; echo de_DE.utf8; echo POSIX")
        script(directory / "bin/mount", "")
        script(
            directory / "bin/unshare", 'case " $* " in *" ${DENIED:-nothing} "*) echo "$COMPLAINT" >&2; exit 1 ;; esac'
        )
        tree = directory / "tree"
        for name in ("etc/bazel", "usr/bin", "usr/lib/jvm/java-25-openjdk-amd64", "usr/lib/locale", "usr/share/bazel"):
            (tree / name).mkdir(parents=True)
        (tree / "etc/bazel/bazelrc").write_text(
            "build --sandbox_debug\ncommon --override_module=rules_cc=/usr/share/bazel/rules/cc\n"
        )
        (tree / "etc/passwd").touch()
        (tree / "usr/lib/jvm/java-1.25.0-openjdk-amd64").symlink_to("java-25-openjdk-amd64")
        (tree / "usr/lib/locale/C.utf8").mkdir()
        (tree / "usr/lib/libraries").mkdir()
        (tree / "usr/lib/libraries/libzstd-jni.so").touch()
        (tree / "usr/share/bazel/build-label.txt").write_text("7.7.1")
        with zipfile.ZipFile(tree / "usr/share/bazel/A-server.jar", "w") as jar:
            jar.writestr("a.class", "")
        (tree / "usr/share/libc-bin").mkdir()
        (tree / "usr/share/libc-bin/nsswitch.conf").touch()

    def start(self, **variables: str):
        command = [sys.executable, "-I", str(TOOLS / "provision_bazel.py"), str(self.store)]
        return subprocess.Popen(command, env=self.variables | variables, stderr=subprocess.PIPE, text=True)

    def run(self, **variables: str) -> tuple[int, str]:
        process = self.start(**variables)
        _, errors = process.communicate(timeout=600)
        return process.returncode, errors

    def wait_until_it_unpacks(self) -> None:
        while not (Path(self.variables["FAKES"]) / "unpacking").exists():
            time.sleep(0.01)

    def refusal(self, **variables: str) -> str:
        """What it says instead of provisioning: one line, with the remedy, and nothing is left behind."""
        code, errors = self.run(**variables)
        *steps, sentence = errors.splitlines()
        assert code == 1
        assert all(
            line.startswith(("tools/bazel: [", "tools/bazel: Bazel isn't on PATH; downloading")) for line in steps
        )
        assert sentence.startswith("tools/bazel: Bazel isn't on PATH and can't be provisioned: ")
        assert sentence.endswith(f" {REMEDY}")
        assert [path.name for path in self.store.parent.iterdir()] == ["lock"]
        return sentence.removeprefix("tools/bazel: Bazel isn't on PATH and can't be provisioned: ")


@pytest.fixture
def recipe(tmp_path: Path):
    return Recipe(tmp_path)


def test_provisioning_says_what_it_does(recipe: Recipe):
    code, errors = recipe.run()
    assert code == 0, errors
    assert errors.splitlines() == [
        f"tools/bazel: Bazel isn't on PATH; downloading it once into {recipe.store}",
        "tools/bazel: [1/4] requesting the packages of Bazel from http://mirror.invalid/debian/",
        "tools/bazel: [2/4] downloading 2 packages of Debian forky, 3 MB",
        "tools/bazel: [3/4] unpacking 2 packages, 0 MB",
        "tools/bazel: [4/4] configuring them",
        "tools/bazel: ready after 0 s: bazel-bootstrap 1:7.7.1 all of Debian forky",
    ]
    assert sorted(path.name for path in recipe.store.parent.iterdir()) == ["digest", "lock"]
    assert (
        recipe.store / "packages.txt"
    ).read_text() == "# Debian forky\nbase-files 1 all\nbazel-bootstrap 1:7.7.1 all\n"


def test_what_is_configured(recipe: Recipe):
    recipe.run()
    root = recipe.store / "root"
    assert (root / "etc/passwd").readlink() == Path("/boot/passwd")
    assert (root / "usr/bin/java").resolve() == root / "usr/lib/jvm/java-25-openjdk-amd64/bin/java"
    assert (root / "usr/share/bazel/libzstd-jni.so").readlink() == Path("/usr/lib/libraries/libzstd-jni.so")
    assert (root / "usr/lib/locale/de_DE.utf8").readlink() == Path("C.utf8")
    options = [line for line in (root / "etc/bazel/bazelrc").read_text().splitlines() if line and line[0] != "#"]
    assert "common --override_module=rules_cc=/usr/share/bazel/rules/cc" in options
    assert "common --override_module=protobuf=/usr/share/bazel/empty/protobuf" in options
    assert not any("sandbox_debug" in option for option in options)
    assert all(option.startswith(("startup --", "common --")) for option in options)
    assert (root / "usr/share/bazel/empty/protobuf/MODULE.bazel").read_text() == 'module(name = "protobuf")\n'
    with zipfile.ZipFile(root / "usr/share/bazel/A-server.jar") as jar:
        assert jar.read("build-data.properties") == b"build.label=7.7.1\n"


def test_sid_is_the_fallback_if_forky_lacks_bazel(recipe: Recipe):
    code, errors = recipe.run(WITHOUT="forky")
    assert code == 0
    assert "of Debian sid" in errors
    assert (recipe.store / "packages.txt").read_text().startswith("# Debian sid\n")


def test_two_at_once(recipe: Recipe, tmp_path: Path):
    both = [recipe.start(SLEEP="0.5"), recipe.start(SLEEP="0.5")]
    errors = sorted((process.communicate(timeout=600)[1] for process in both), key=len)
    assert [process.returncode for process in both] == [0, 0]
    assert errors[0] == "tools/bazel: waiting for another process that provisions Bazel\n"
    assert "ready after" in errors[1]
    assert (tmp_path / "log").read_text() == "download\n"


def test_killed_half_way(recipe: Recipe, tmp_path: Path):
    first = recipe.start(SLEEP="1")
    recipe.wait_until_it_unpacks()
    first.kill()
    first.communicate()
    assert recipe.unfinished.exists()
    assert not recipe.store.exists()
    # The orphaned dpkg-deb writes on for a while: the second start waits for it and then begins anew.
    code, errors = recipe.run()
    assert code == 0
    assert errors.startswith("tools/bazel: waiting for another")
    assert "ready after" in errors
    assert not recipe.unfinished.exists()
    assert (tmp_path / "log").read_text() == "download\n" * 2


def test_interrupted(recipe: Recipe):
    process = recipe.start(SLEEP="0.5")
    recipe.wait_until_it_unpacks()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 130
    assert errors.endswith("tools/bazel: interrupted. Run the command again to start over.\n")
    assert "Traceback" not in errors
    assert not recipe.unfinished.exists()
    assert recipe.run()[0] == 0


def test_what_another_made_in_the_meantime_is_accepted(recipe: Recipe):
    recipe.store.parent.mkdir(parents=True)
    with (recipe.store.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = recipe.start()
        assert process.stderr.readline() == "tools/bazel: waiting for another process that provisions Bazel\n"
        recipe.store.mkdir()
    assert process.communicate(timeout=600)[1] == ""
    assert process.returncode == 0


def test_little_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    spec = importlib.util.spec_from_file_location("provision_bazel", TOOLS / "provision_bazel.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("PATH", Recipe(tmp_path).variables["PATH"])
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**10, 9 * 10**9, 10**9))
    with pytest.raises(module.ProvisionError, match=rf"{tmp_path} has 1\.0 GB of free space, but Bazel needs 2\.0 GB"):
        module.check_host(tmp_path)


def test_no_debian(recipe: Recipe, tmp_path: Path):
    (tmp_path / "bin/apt-get").unlink()
    links = tmp_path / "links"
    links.mkdir()
    for name in ("dpkg", "dpkg-deb", "mount", "unshare"):
        (links / name).symlink_to(tmp_path / "bin" / name)
    assert "this machine isn't Debian 12 or newer: it has no apt-get." in recipe.refusal(PATH=str(links))


def test_another_distribution_with_apt(recipe: Recipe):
    assert "apt's sources contain no Debian mirror." in recipe.refusal(RELEASE="noble")


def test_an_architecture_without_bazel(recipe: Recipe):
    assert "Debian has no Bazel for mips64el." in recipe.refusal(ARCHITECTURE="mips64el")


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"DENIED": "true"}, "doesn't allow mount namespaces, which tools/bazel requires."),
        ({"WITHOUT": ".*"}, "http://mirror.invalid/debian/ doesn't provide Bazel's packages: E: The repository cannot"),
        ({"DENIED": "sh", "COMPLAINT": "sh: broken"}, "the unpacked programs don't run: sh: broken."),
    ],
    ids=["namespaces", "network", "root"],
)
def test_a_machine_that_cannot_provision_is_explained(recipe: Recipe, variables, sentence):
    assert sentence in recipe.refusal(**variables)


def test_a_cache_that_cannot_be_written(recipe: Recipe):
    recipe.store.parent.parent.mkdir()
    recipe.store.parent.write_text("a file")
    code, errors = recipe.run()
    assert code == 1
    assert errors.endswith(f" {REMEDY}\n")
    assert len(errors.splitlines()) == 1


def test_the_launcher_is_executable():
    assert (TOOLS / "bazel").stat().st_mode & stat.S_IXUSR


@pytest.mark.skipif(os.environ.get("RULES_BENTO_PROVISION_TEST") != "1", reason="takes a minute and a network")
def test_the_real_one(launcher: Launcher, tmp_path: Path):
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "MODULE.bazel").touch()
    (workspace / "BUILD.bazel").write_text('genrule(name = "net", outs = ["devices"], cmd = "cat /proc/net/dev >$@")\n')
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": launcher.variables["PATH"]}
    environment.pop("BAZEL_REAL", None)

    def bazel(*arguments: str):
        command = [str(TOOLS / "bazel"), *arguments]
        return subprocess.run(command, cwd=workspace, env=environment, check=True, capture_output=True, text=True)

    try:
        assert "ready after" in bazel("--version").stderr
        assert bazel("--version").stderr == ""
        built = bazel("build", "//:net", "--spawn_strategy=linux-sandbox", "--sandbox_default_allow_network=false")
        assert "1 linux-sandbox" in built.stderr
        assert "WARNING" not in built.stderr
        devices = (workspace / "bazel-bin/devices").read_text().splitlines()[2:]
        assert [line.split(":")[0].strip() for line in devices] == ["lo"]
    finally:
        bazel("shutdown")
