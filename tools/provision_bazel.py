"""Provisions Debian's Bazel for one user, on a machine without Bazel.

`tools/bazel` starts this program with the directory to create, if it doesn't exist.
docs/contributing/tools-bazel.md describes the steps. The name of the directory contains the digest of this file, so a
changed file provisions again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHITECTURES = ("amd64", "arm64")
SUITES = ("forky", "sid")  # in this order; older suites have no supported Bazel
FREE_BYTES = 2_000_000_000
REMEDY = "Install bazelisk, or set BAZEL_REAL to the path of a Bazel binary."

# apt adds the dependencies.
PACKAGES = (
    # Shell and tools that actions and tests require.
    "base-files", "bash", "coreutils", "dash", "debianutils", "diffutils", "file", "findutils", "grep", "gzip",
    "hostname", "libc-bin", "mawk", "patch", "procps", "sed", "tar", "unzip", "xz-utils", "zip", "zstd",
    # For the launcher, and for repository rules that fetch.
    "apt", "bubblewrap", "ca-certificates", "dpkg", "git", "util-linux",
    # Bazel, its Java, and the modules that Debian packages.
    "bazel-bootstrap", "bazel-platforms", "bazel-rules-python", "bazel-skylib", "bazel-stardoc", "default-jre-headless",
    # The interpreter that the Python toolchain detects, and pip for module extensions.
    "python3", "python3-pip",
    # For tests of reproducibility with another clock.
    "faketime",
)  # fmt: skip

# bazel-bootstrap depends on it for builds of Java. Without it, the download has half the size.
LEFT_OUT = "default-jdk-headless"

# Modules that Bazel requires, that Debian does not package, and that nothing uses.
EMPTY_MODULES = ("apple_support", "buildozer", "protobuf", "zlib")

BUILDOZER_EXTENSION = """\
def _repository_impl(rctx):
    rctx.file("BUILD.bazel")

_repository = repository_rule(implementation = _repository_impl)

def _extension_impl(_mctx):
    _repository(name = "buildozer_binary")

buildozer_binary = module_extension(implementation = _extension_impl)
"""

# Files of the host's /etc: users, and access to servers. In the launcher, /boot has the complete /etc.
HOST_FILES = ("apt", "gitconfig", "group", "hosts", "localtime", "passwd", "pip.conf", "resolv.conf", "uv")

# Results of the maintainer scripts of libc-bin, ca-certificates, and ca-certificates-java.
CONFIGURE = """\
ldconfig
(cd /usr/share/ca-certificates && find . -name '*.crt' | cut -c 3-) >/etc/ca-certificates.conf
update-ca-certificates
mkdir -p /etc/ssl/certs/java
printf '+%s\\n' /etc/ssl/certs/*.pem |
    java -jar /usr/share/ca-certificates-java/ca-certificates-java.jar -storepass changeit
# Without bytecode, which no later program can write, Python needs ten times as long to start.
/usr/bin/python3 -m compileall -q -x "/(idlelib|test|tests)/" /usr/lib/python3.*
"""


class ProvisionError(Exception):
    """Reports the reason for a failure, as a clause for the user."""


class Progress:
    """Prints numbered steps to standard error; on a terminal, rewrites the line of the current step."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._step = 0
        self._line = ""
        self._shown = 0.0
        self._interval, self._back = (0.1, "\033[A\033[K") if sys.stderr.isatty() else (10.0, "")

    def begin(self, text: str) -> None:
        """Print the next step."""
        self._step += 1
        self._line = f"[{self._step}/{self._steps}] {text}"
        self._shown = time.monotonic()
        say(self._line)

    def update(self, how_far: str) -> None:
        """Print the progress of the step, at intervals."""
        if time.monotonic() - self._shown >= self._interval:
            self._shown = time.monotonic()
            say(f"{self._line}: {how_far}", self._back)


class Provisioning:
    """Fills an empty directory with `root`, the root file system, and `packages.txt`."""

    def __init__(self, directory: Path, lock: IO[str]) -> None:
        self._directory = directory
        self._root = directory / "root"
        self._apt = directory / "apt"
        # A child process keeps the lock until it ends, even if this process was killed.
        self._lock = lock.fileno()
        self._progress = Progress(steps=4)

    def run(self) -> str:
        """Provision Bazel, and return its location."""
        architecture = check_host(self._directory.parent)
        mirror = debian_mirror()
        self._root.mkdir(parents=True)
        suite = self._download(mirror, architecture)
        debs = sorted((self._apt / "cache/archives").glob("*.deb"))
        packages = [" ".join(deb.stem.replace("%3a", ":").split("_")) for deb in debs]
        (self._directory / "packages.txt").write_text("\n".join([f"# Debian {suite}", *packages, ""]))
        self._unpack(debs)
        shutil.rmtree(self._apt)
        self._progress.begin("configuring them")
        self._configure_root()
        self._configure_bazel()
        self._run_inside(CONFIGURE)
        return next(f"{package} of Debian {suite}" for package in packages if package.startswith("bazel-bootstrap "))

    def _download(self, mirror: str, architecture: str) -> str:
        """Download the packages from the first suite with all of them, and return its name."""
        self._progress.begin(f"requesting the packages of Bazel from {mirror}")
        for suite in SUITES:
            apt = self._configure_apt(mirror, suite, architecture)
            asked = self._call(*apt, "update")
            if not asked.returncode:
                asked = self._call(*apt, "install", "--print-uris", *PACKAGES)
            if not asked.returncode:
                sizes = [int(line.split()[2]) for line in asked.stdout.splitlines() if line.startswith("'")]
                megabytes = sum(sizes) / 1e6
                self._progress.begin(f"downloading {len(sizes)} packages of Debian {suite}, {megabytes:.0f} MB")
                self._fetch(apt, megabytes)
                return suite
        raise ProvisionError(f"{mirror} doesn't provide Bazel's packages: {complaint(asked.stderr)}")

    def _configure_apt(self, mirror: str, suite: str, architecture: str) -> list[str]:
        """Configure apt with separate directories and sources, and return its command."""
        shutil.rmtree(self._apt, ignore_errors=True)
        for directory in ("cache/archives/partial", "lists/partial", "sources"):
            (self._apt / directory).mkdir(parents=True)
        keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
        (self._apt / "sources/debian.sources").write_text(
            f"Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\nArchitectures: {architecture}\n"
            f"Targets: Packages\n{f'Signed-By: {keyring}' if keyring.exists() else ''}\n"
        )
        (self._apt / "status").write_text(
            f"Package: {LEFT_OUT}\nStatus: install ok installed\nArchitecture: {architecture}\nVersion: 99:0\n"
            "Maintainer: none\nDescription: left out\n"
        )
        # Other settings of the host apply: proxies, credentials, certificates. Its hooks must not run.
        (self._apt / "apt.conf").write_text(f"""\
#clear APT::Update;
#clear DPkg;
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{self._apt}/sources";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{self._apt}";
Dir::State::lists "{self._apt}/lists";
Dir::State::status "{self._apt}/status";
Dir::Cache "{self._apt}/cache";
Dir::Log "{self._apt}";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Get::Assume-Yes "true";
APT::Install-Recommends "false";
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Debug::NoLocking "true";
""")
        return ["apt-get", "--config-file", str(self._apt / "apt.conf")]

    def _fetch(self, apt: list[str], megabytes: float) -> None:
        """Download the packages, and print the progress."""
        read, write = os.pipe()
        with subprocess.Popen(
            [*apt, "-o", f"APT::Status-Fd={write}", "install", "--download-only", "--quiet", *PACKAGES],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=(write, self._lock),
        ) as process:
            os.close(write)
            with os.fdopen(read) as status:
                for line in status:
                    if line.startswith("dlstatus:"):
                        done = float(line.split(":")[2]) / 100
                        self._progress.update(f"{done * megabytes:.0f} MB")
            _, errors = process.communicate()
        if process.returncode:
            raise ProvisionError(f"cannot download Bazel's packages: {complaint(errors)}")

    def _unpack(self, debs: list[Path]) -> None:
        """Unpack the packages, large ones first and two in parallel, and delete them."""
        sizes = {deb: deb.stat().st_size / 1e6 for deb in debs}
        self._progress.begin(f"unpacking {len(debs)} packages, {sum(sizes.values()):.0f} MB")
        # The first package links /bin, /lib, and /sbin to /usr. Other packages would create directories.
        debs.sort(key=lambda deb: (not deb.name.startswith("base-files_"), -sizes[deb]))
        self._unpack_one(debs[0])
        done = 0.0
        with ThreadPoolExecutor(max_workers=2) as pool:
            for deb, _ in zip(debs[1:], pool.map(self._unpack_one, debs[1:]), strict=True):
                done += sizes[deb]
                self._progress.update(f"{done:.0f} MB")

    def _unpack_one(self, deb: Path) -> None:
        unpacked = self._call("dpkg-deb", "--extract", str(deb), str(self._root))
        if unpacked.returncode:
            raise ProvisionError(f"cannot unpack {deb.name}: {complaint(unpacked.stderr)}")
        deb.unlink()

    def _configure_root(self) -> None:
        """Create the links and files of maintainer scripts that need no program of the root."""
        usr, etc = self._root / "usr", self._root / "etc"
        for link, target in {
            "bin/awk": "mawk",
            "bin/c++": "g++",
            "bin/cc": "gcc",
            "bin/java": f"../lib/jvm/{java_home(self._root)}/bin/java",
            "bin/sh": "dash",
            "bin/which": "which.debianutils",
            # Without it, the server crashes at a compact execution log.
            "share/bazel/libzstd-jni.so": str(next(usr.glob("lib/*/libzstd-jni.so"))).replace(str(usr), "/usr"),
        }.items():
            if not os.path.lexists(usr / link):
                (usr / link).symlink_to(target)
        shutil.rmtree(etc / "apt", ignore_errors=True)
        for name in HOST_FILES:
            (etc / name).unlink(missing_ok=True)
            (etc / name).symlink_to(f"/boot/{name}")
        shutil.copy(usr / "share/libc-bin/nsswitch.conf", etc)
        authorities = Path("/usr/local/share/ca-certificates")
        if authorities.is_dir():
            shutil.copytree(authorities, usr / "local/share/ca-certificates", dirs_exist_ok=True)
        # The locale of the host must exist, because otherwise many programs print warnings.
        for locale in self._call("locale", "--all-locales").stdout.split():
            if locale.endswith(".utf8") and locale != "C.utf8":
                (usr / "lib/locale" / locale).symlink_to("C.utf8")

    def _configure_bazel(self) -> None:
        """Give Bazel a version, the modules that it requires, and a minimal bazelrc."""
        bazel, bazelrc = self._root / "usr/share/bazel", self._root / "etc/bazel/bazelrc"
        # Debian's Bazel reports a development version, which rule sets treat as the newest version.
        with zipfile.ZipFile(bazel / "A-server.jar", "a") as jar:
            jar.writestr("build-data.properties", f"build.label={(bazel / 'build-label.txt').read_text()}\n")
        for name in EMPTY_MODULES:
            (bazel / "empty" / name).mkdir(parents=True)
            (bazel / "empty" / name / "MODULE.bazel").write_text(f'module(name = "{name}")\n')
            (bazel / "empty" / name / "BUILD.bazel").touch()
        (bazel / "empty/buildozer/buildozer_binary.bzl").write_text(BUILDOZER_EXTENSION)
        overrides = re.findall(r"--override_module=\S+", bazelrc.read_text())
        overrides += [f"--override_module={name}=/usr/share/bazel/empty/{name}" for name in EMPTY_MODULES]
        lines = "\n".join(f"common {override}" for override in overrides)
        bazelrc.write_text(f"""\
# Written by tools/provision_bazel.py of rules_bento.
startup --install_base=/usr/share/bazel --trust_install_base
startup --server_javabase=/usr/lib/jvm/{java_home(self._root)}
startup --host_jvm_args=--enable-native-access=ALL-UNNAMED
startup --host_jvm_args=--sun-misc-unsafe-memory-access=allow
# Bazel does not reuse a server of another provisioning.
startup --host_jvm_args=-Drules_bento.provisioned={self._directory.stem}.{time.time_ns()}

# The modules that Debian packages, and empty modules for the others that Bazel requires.
{lines}

# With these overrides, Bazel would not write the lock file of the project.
common --lockfile_mode=off
# Debian does not package the rules that Bazel appends to a WORKSPACE file.
common --noenable_workspace
""")

    def _run_inside(self, script: str) -> None:
        """Run a shell script with `/etc` and `/usr` of the root, in the same way as the launcher runs Bazel."""
        enter = 'mount --bind "$0/etc" /etc && mount --bind "$0/usr" /usr && exec sh -ec "$1"'
        ran = self._call(*namespace(), "sh", "-c", enter, str(self._root), script)
        if ran.returncode:
            raise ProvisionError(f"the unpacked programs don't run: {complaint(ran.stderr)}")

    def _call(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            pass_fds=(self._lock,),
        )


def check_host(cache: Path) -> str:
    """Check the requirements of the later steps, and return the architecture."""
    missing = [tool for tool in ("apt-get", "dpkg", "dpkg-deb", "mount", "unshare") if not shutil.which(tool)]
    if missing or not Path("/bin").is_symlink():
        raise ProvisionError(
            f"this machine isn't Debian 12 or newer: it has no {', '.join(missing) or '/bin that is a link'}"
        )
    architecture = output_of("dpkg", "--print-architecture").strip()
    if architecture not in ARCHITECTURES:
        raise ProvisionError(f"Debian has no Bazel for {architecture}")
    free = shutil.disk_usage(cache).free
    if free < FREE_BYTES:
        raise ProvisionError(
            f"{cache} has {free / 1e9:.1f} GB of free space, but Bazel needs {FREE_BYTES / 1e9:.1f} GB (free space, or "
            "set XDG_CACHE_HOME to another directory)"
        )
    if subprocess.run([*namespace(), "true"], capture_output=True, check=False).returncode:
        raise ProvisionError("this machine or container doesn't allow mount namespaces, which tools/bazel requires")
    return architecture


def debian_mirror() -> str:
    """Return the mirror of Debian that the host's apt uses."""
    release = re.search(r"^VERSION_CODENAME=(\S+)$", Path("/etc/os-release").read_text(), re.MULTILINE)
    suites = {"stable", "testing", "unstable", *SUITES, *(release.groups() if release else ())}
    form = "$(RELEASE) $(COMPONENT) $(REPO_URI)"
    for line in output_of("apt-get", "indextargets", "--no-release-info", "--format", form).splitlines():
        suite, component, uri = line.split(" ", 2)
        if suite in suites and component == "main":
            return uri
    raise ProvisionError("this machine isn't Debian 12 or newer: apt's sources contain no Debian mirror")


def namespace() -> list[str]:
    """Return the command prefix for a program that can mount, for any user."""
    return ["unshare", "--mount", *(["--map-root-user"] if os.getuid() else [])]


def java_home(root: Path) -> str:
    """Return the directory of Java in `/usr/lib/jvm`."""
    return next(path.name for path in (root / "usr/lib/jvm").glob("java-*-openjdk-*") if not path.is_symlink())


def output_of(*command: str) -> str:
    """Return the output of a program."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def complaint(errors: str) -> str:
    """Return the most specific line of an error: the first marked line of apt, or the last line of other programs."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()] or ["no message"]
    return next((line for line in lines if line.startswith("E: ")), lines[-1])


def say(text: str, before: str = "") -> None:
    """Print a message."""
    print(f"{before}tools/bazel: {text}", file=sys.stderr, flush=True)  # noqa: T201


@contextlib.contextmanager
def alone(path: Path) -> Iterator[IO[str]]:
    """Wait until no other process has the lock."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another process that provisions Bazel")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def provision(store: Path) -> None:
    """Create the directory atomically, unless it exists."""
    store.parent.mkdir(parents=True, exist_ok=True)
    with alone(store.parent / "lock") as lock:
        for leftover in store.parent.glob("*.unfinished"):
            shutil.rmtree(leftover)
        if store.exists():
            return
        began = time.monotonic()
        say(f"Bazel isn't on PATH; downloading it once into {store}")
        unfinished = store.with_suffix(".unfinished")
        try:
            bazel = Provisioning(unfinished, lock).run()
            unfinished.rename(store)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        say(f"ready after {time.monotonic() - began:.0f} s: {bazel}")


def main() -> int:
    """Provision Bazel, or print the reason for the failure."""
    try:
        provision(Path(sys.argv[1]))
    except KeyboardInterrupt:
        say("interrupted. Run the command again to start over.")
        return 130
    except (ProvisionError, OSError) as error:
        say(f"Bazel isn't on PATH and can't be provisioned: {error}. {REMEDY}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
