"""The installed command writes the same bytes on each machine: one digest of each Bento, image, and archive."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rules_bento.base.programs import which
from rules_bento.images.registry.layout import Layout

from tests.helpers.made_wheels import Maker
from tests.sharing.image_support import index, locked
from tests.sharing.python_support import MINOR, VERSION, base_of

TIME = "2026-01-01T00:00:00+00:00"
SERVICE = (
    "import bentoml\n\n@bentoml.service\nclass Hello:\n    @bentoml.api\n    def hi(self) -> str:\n        return 'ü'\n"
)
BENTOFILE = 'service: "service:Hello"\ninclude: ["*.py", "data/*"]\npython:\n  requirements_txt: requirements.txt\n'
PROJECT = '[project]\nname = "web"\nversion = "1.0"\nrequires-python = ">=3.9"\ndependencies = ["large", "tiny"]\n'
TEXT = "".join(f"{number};{number * number % 977};ü;a line of text\n" for number in range(20_000))
FORMATS = ("xz", "gz", "bz2", "zst", "tar", "zip")
# Runs command lines in one process, and prints what Python's zlib writes.
DRIVER = """\
import hashlib, json, sys
from rules_bento.base import utf8_mode
utf8_mode.restart()
from bento_cli.cli import main
for words in json.loads(sys.argv[1]):
    if main(words):
        sys.exit(f"failed: {words}")
import time, zlib
packed = zlib.compress(b"".join(b"%d" % (number * number) for number in range(9999)))
print(json.dumps([zlib.ZLIB_RUNTIME_VERSION, hashlib.sha256(packed).hexdigest(), time.gmtime().tm_year]))
"""
# Another zlib, with another version, whose streams differ; another clock; and a user without an entry in /etc/passwd.
SHIM = """\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pwd.h>
#include <stdlib.h>
#include <time.h>
typedef int init(void *, int, int, int, int, int, const char *, int);
const char *zlibVersion(void) { return "1.3.1.shim"; }
int deflateInit2_(void *stream, int level, int method, int bits, int memory, int strategy, const char *v, int size) {
    init *next = (init *)dlsym(RTLD_NEXT, "deflateInit2_");
    if (!next) next = (init *)dlsym(dlopen("libz.so.1", RTLD_NOW), "deflateInit2_");
    return next(stream, level ? 1 : 0, method, bits, memory, strategy, v, size);
}
int clock_gettime(clockid_t clock, struct timespec *time) {
    int (*next)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = next(clock, time);
    const char *seconds = getenv("TEST_CLOCK");
    if (!result && clock == CLOCK_REALTIME && seconds) time->tv_sec = atol(seconds);
    return result;
}
time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return out ? (*out = now.tv_sec) : now.tv_sec;
}
int getpwuid_r(uid_t user, struct passwd *entry, char *buffer, size_t size, struct passwd **result) {
    typedef int get(uid_t, struct passwd *, char *, size_t, struct passwd **);
    *result = NULL;
    return getenv("TEST_NOBODY") ? 0 : ((get *)dlsym(RTLD_NEXT, "getpwuid_r"))(user, entry, buffer, size, result);
}
"""
# Each machine differs in several ways at once, because each build of everything needs seconds. To find the cause of a
# failure, remove values.
CONDITIONS: dict[str, dict[str, Any]] = {
    "1970": {"shim": "yes", "TEST_CLOCK": "3600", "umask": 0o077, "locale": "ja_JP EUC-JP"},
    "2040": {"shim": "yes", "TEST_CLOCK": "2208988800", "TEST_NOBODY": "yes", "HOME": None, "USER": None, "locale": ""},
    "other variables": {
        "HOME": "{directory}/" + "x" * 200 + "/" + "y" * 200,
        "PYTHONHASHSEED": "7",
        "PYTHONOPTIMIZE": "2",
        "TMPDIR": "{directory}/elsewhere/ü",
        "TZ": "Pacific/Kiritimati",
        "locale": "de_DE ISO-8859-1",
        "umask": 0o000,
    },
}


class Machines:
    """A project and a Bento, which machines build. Each machine has its own directory."""

    def __init__(self, root: Path, address: str, wheels: Path) -> None:
        self.root = root
        self.address = address
        self.base = base_of(root / "base", f"PYTHON_VERSION={VERSION}")
        self.bento = self._write("bento", {"service.py": SERVICE, "bentofile.yaml": BENTOFILE})
        packages = ("bentoml", "large", "tiny")
        (self.bento / "requirements.txt").write_bytes(locked(wheels, packages, f"--index-url {address}"))
        self.project = self._write("web", {"main.py": "print('ü')\n", "pyproject.toml": PROJECT})
        words = [os.environ["RULES_BENTO_UV"], "lock", "-q", "--python", sys.executable, "--default-index", address]
        subprocess.run(words, cwd=self.project, check=True)

    def _write(self, name, files):
        for path, content in (files | {"data/ü.csv": TEXT}).items():
            (self.root / name / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name / path).write_text(content, "utf-8")
        return self.root / name

    def build(self, name, *, shim=None, locale="", umask=0o022, **variables):
        """Build everything on a machine. Returns its zlib and clock, and the digests."""
        directory = self.root / name.replace(" ", "-")
        (directory / "bin").mkdir(parents=True)
        (directory / "bin/uv").symlink_to(Path(os.environ["RULES_BENTO_UV"]).absolute())
        env = {
            "BENTOML_HOME": f"{directory}/store",
            "HOME": f"{directory}/home",
            "LC_ALL": "C.UTF-8",
            "PATH": f"{directory}/bin:/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in ("py", *sys.path) if path),
            "USER": "someone",
            "UV_CACHE_DIR": f"{directory}/uv",
            "UV_DEFAULT_INDEX": self.address,
            "XDG_CACHE_HOME": f"{directory}/cache",
        }
        env |= {key: value and value.format(directory=directory) for key, value in variables.items()}
        if shim:
            env["LD_PRELOAD"] = str(shim)
        if locale:
            name, encoding = locale.split()
            subprocess.run(
                ["localedef", "-i", name, "-f", encoding, directory / name], check=False, capture_output=True
            )
            env |= {"LC_ALL": name, "LOCPATH": str(directory)}
        for key in ("HOME", "TMPDIR"):
            if env.get(key):
                Path(env[key]).mkdir(parents=True)
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, json.dumps(self._words(directory))],
            env={key: value for key, value in env.items() if value is not None},
            cwd=directory, umask=umask, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1]), _digests(directory)

    def _words(self, directory):
        image = ["--base", f"oci:{self.base}", "--platform", "linux/amd64", "-q", "--bytecode-python", sys.executable]
        lines = [["build", str(self.bento), f"--python-version={MINOR}", "--version=v1", "--creation-time", TIME, "-q"]]
        lines += [["export", "hello:v1", f"{directory}/{form}.out", "--format", form, "-q"] for form in FORMATS]
        native = ["containerize", "hello:v1", "--backend", "native"]
        for form in ("gzip", "zstd"):
            for name, words in (
                ("image", ["image", str(self.project), "--compression", form]),
                ("native", [*native, "--compression", form]),
            ):
                lines.append([*words, *image, "--output", f"oci:{directory}/{name}-{form}.oci", "-t", "a:b"])
        return lines


def _digests(directory):
    digests = {path.name: Layout.open(path).find().descriptor.digest for path in directory.glob("*.oci")}
    files = [*directory.glob("*.out*"), *directory.glob("store/bentos/*/*/bento.yaml")]
    return digests | {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    root = tmp_path_factory.mktemp("machines")
    wheels = root / "wheels"
    wheels.mkdir()
    for name, text in (("bentoml", "1\n"), ("large", TEXT * 9), ("tiny", "'ü'\n")):
        maker = Maker(name).add({f"{name}/__init__.py": text})
        maker.add({f"{name}/stored.txt": TEXT}, stored=True).write(wheels)
    with index(wheels) as (address, _):
        yield Machines(root, address, wheels)


@pytest.fixture(scope="module")
def expected(machines):
    return machines.build("usual")


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    compiler = which("cc")
    if not compiler:
        pytest.skip("no C compiler is here")
    directory = tmp_path_factory.mktemp("shim")
    (directory / "shim.c").write_text(SHIM)
    words = [compiler, "-shared", "-fPIC", "-o", directory / "shim.so", directory / "shim.c", "-ldl"]
    subprocess.run(words, check=True)
    return directory / "shim.so"


@pytest.mark.parametrize("name", CONDITIONS)
def test_all_outputs_have_the_same_bytes(name, machines, expected, request):
    condition = dict(CONDITIONS[name])
    if "shim" in condition:
        condition["shim"] = request.getfixturevalue("shim")
    if not shutil.which("localedef"):
        del condition["locale"]
    (version, packed, year), digests = machines.build(name, **condition)
    if version != expected[0][0]:  # not if this Python contains its zlib
        assert packed != expected[0][1]
    if "TEST_CLOCK" in condition:
        assert year == int(name)
    assert len(digests) == len(FORMATS) + 5
    assert digests == expected[1]
