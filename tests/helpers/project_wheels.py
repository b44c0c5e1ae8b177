"""Projects of six back ends, in Git repositories with files that a fresh clone lacks.

`python -m tests.helpers.project_wheels BENTO BASE` builds the wheel of each by `bento image`, and by `uv build --wheel`
in a fresh clone, and compares them (0 files: both refuse the project). It then builds 20 pairs of clones with other files. Needs a package index.
"""

import gzip
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from random import Random

BACK_ENDS = {
    "setuptools": '[build-system]\nrequires = ["setuptools==80.9.0"]\nbuild-backend = "setuptools.build_meta"\n'
    '[tool.setuptools.packages.find]\nwhere = ["src"]\n[tool.setuptools.package-data]\napp = ["**/*", "**/.*"]\n',
    "hatchling": '[build-system]\nrequires = ["hatchling==1.27.0"]\nbuild-backend = "hatchling.build"\n',
    "flit": '[build-system]\nrequires = ["flit_core==3.12.0"]\nbuild-backend = "flit_core.buildapi"\n',
    "pdm": '[build-system]\nrequires = ["pdm-backend==2.4.5"]\nbuild-backend = "pdm.backend"\n',
    "poetry": '[build-system]\nrequires = ["poetry-core==2.1.3"]\nbuild-backend = "poetry.core.masonry.api"\n'
    '[tool.poetry]\npackages = [{ include = "app", from = "src" }]\n',
    "uv": '[build-system]\nrequires = ["uv_build>=0.1"]\nbuild-backend = "uv_build"\n',
}
VERSIONS = {
    "setuptools": ("setuptools==80.9.0", "setuptools-scm==9.2.0", "[tool.setuptools_scm]\n"),
    "hatchling": ("hatchling==1.27.0", "hatch-vcs==0.5.0", '[tool.hatch.version]\nsource = "vcs"\n'),
}
_PROJECT = '[project]\nname = "app"\ndescription = "x"\nrequires-python = ">=3.11"\n'
_STALE = {"build/lib/app/stale.py": "1", "src/app.egg-info/SOURCES.txt": "src/app/stale.py\n", "dist/app.whl": "1"}
# The committed files, and those that only this clone has. Forced files are those that `.gitignore` matches.
KINDS = {
    "ignored": ({".gitignore": "*.log\nlocal/\n!kept.log\n", "src/app/kept.log": "1"}, {"src/app/x.log": "1", "src/app/local/y.py": "1"}),
    "dotted": ({".gitignore": ".env\n", "src/app/.hidden/x.txt": "1", "src/app/.x": "2", "src/app/t/.gitignore": "*.csv\n"}, {"src/app/.env": "1", "src/app/t/x.csv": "1"}),
    "linked": ({".gitignore": "local\n", "shared/x.txt": "1"}, {"src/app/local": "1"}),
    "generated": ({".gitignore": "_gen*\nbuild/\n*.egg-info/\ndist/\n"}, {"src/app/_generated.py": "1", **_STALE}),
    "forced": ({".gitignore": "data/\n*.so\n", "src/app/data/x.csv": "1"}, {"src/app/data/y.csv": "2"}),
    "member": ({".gitignore": "/libs/app/src/app/x/\n", "libs/app/src/app/y/x.txt": "1", "libs/app/.gitignore": "*.bin\n"}, {"libs/app/src/app/x/a.py": "1", "libs/app/src/app/a.bin": "1"}),
    "caches": (
        {".gitignore": ""},
        {
            **{f"src/app/__pycache__/{name}.pyc": "1" for name in ("a", "b.cpython-311")},
            **{f"src/app/{name}/CACHEDIR.TAG": "Signature: 8a4" for name in (".cache", ".my_cache", ".tox")},
            **{f"src/app/{name}/pyvenv.cfg": "" for name in (".venv", "env", "venv")},
            **{f"src/app/{name}/x.py": "1" for name in (".cache", ".venv", "env", "venv")},
        },
    ),
    "version": ({".gitignore": "_version.py\n"}, {"src/app/_version.py": "version = '7'\n"}),
}  # fmt: skip
CASES = [(end, kind) for kind in KINDS for end in (BACK_ENDS if kind != "version" else VERSIONS)]


def git(directory, *words):
    words = ["git", "-c", "user.name=x", "-c", "user.email=x@x", "-c", "init.defaultBranch=main", *words]
    variables = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(words, cwd=directory, env=variables, check=True, capture_output=True)


def write(directory, files):
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)


def make(directory, end, kind, lock=None):
    """Write and commit a project, and the files that only this clone has. Returns the path of the package's project."""
    committed, local = KINDS[kind]
    place = "libs/app/" if kind == "member" else ""
    text = _PROJECT + 'version = "1.0"\n' + BACK_ENDS[end]
    if kind == "version":
        requires = f"requires = {list(VERSIONS[end][:2])}"
        own = BACK_ENDS[end].replace(f'requires = ["{VERSIONS[end][0]}"]', requires)
        text = f'{_PROJECT}dynamic = ["version"]\n{own}{VERSIONS[end][2]}'
    if place:
        root = '[project]\nname = "top"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["app"]\n'
        root += '[tool.uv.workspace]\nmembers = ["libs/*"]\n[tool.uv.sources]\napp = { workspace = true }\n'
        write(directory, {"pyproject.toml": root, "main.py": "1\n"})
    write(directory, {f"{place}pyproject.toml": text, f"{place}src/app/__init__.py": "def main(): pass\n", **committed})
    if kind == "linked":
        (directory / "src/app/one.txt").symlink_to("../../shared/x.txt")
        (directory / "src/app/more").symlink_to("../../shared")
    git(directory, "init")
    git(directory, "add", "-f", "-A")
    git(directory, "commit", "-m", "x")
    if lock:
        lock(directory)  # which can read the version
        git(directory, "add", "uv.lock")
        git(directory, "commit", "-m", "x")
        git(directory, "clean", "-fdx")
    git(directory, "tag", "v3.1")
    write(directory, local)
    return place


def _files(wheel):
    """The members of a wheel and their contents, without its list of members."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith(("/", "/RECORD"))]
        return {name: archive.read(name) for name in names}


class _Command:
    def __init__(self, bento, base, scratch):
        self._words = [bento, "image"], ["--base", base, "--no-bytecode", "--compression", "gzip"]
        self._variables = {**os.environ, "XDG_CACHE_HOME": str(scratch / "cache")}
        self._scratch = scratch

    def uv(self, directory, *words):
        words = ["uv", *words, "-q", "--python", "3.11"]
        return subprocess.run(words, cwd=directory, check=False, env=self._variables, capture_output=True).returncode

    def wheels(self):
        return {*(self._scratch / "cache/rules_bento/native/layers").glob("*/app-*.whl")}

    def image(self, directory, out):
        front, back = self._words
        words = [*front, directory, *back, "--entrypoint", "python", "--output", f"oci:{out}"]
        return subprocess.run(words, check=False, env=self._variables, capture_output=True).returncode


def _compare(command, scratch, end, kind):
    directory, clone = scratch / f"{end}-{kind}", scratch / "clone"
    place = make(directory, end, kind, lambda at: command.uv(at, "lock"))
    git(scratch, "clone", directory, clone)
    is_refused = command.uv(clone / place, "build", "--wheel", "--out-dir", scratch / "dist")
    before = command.wheels()
    assert bool(command.image(directory, scratch / f"{end}-{kind}-out")) == bool(is_refused)
    one, other = (
        [_files(each) for each in found] for found in (command.wheels() - before, (scratch / "dist").glob("*.whl"))
    )
    assert len(one) == len(other) == (not is_refused)
    shutil.rmtree(clone)
    shutil.rmtree(scratch / "dist")
    [one], [other] = (one, other) if one else ([{}], [{}])
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name)), len(one)


def _clones(command, scratch, seed):
    """Return marks of files of one clone in the image of the other."""
    random, made = Random(seed), scratch / f"pair{seed}"
    end, kind = random.choice([case for case in CASES if case[1] not in ("member", "version", "linked")])
    make(made / "one", end, kind, lambda at: command.uv(at, "lock"))
    git(made, "clone", "one", "two")
    places = ["src/app/new.py", "src/app/new.log", "src/app/.cache/CACHEDIR.TAG", "src/app/__pycache__/__init__.pyc"]
    places += ["src/app/near/x.py", "src/app/_gen.py", "build/lib/app/__init__.py", "src/app/.venv/pyvenv.cfg"]
    for name in ("one", "two"):
        write(made / name, dict.fromkeys(random.sample(places, 6), f"# MARK-{name}"))
    found = []
    for name, other in (("one", "two"), ("two", "one")) * 2:
        assert command.image(made / name, made / f"{name}-out") == 0
        blobs = (made / f"{name}-out/blobs/sha256").iterdir()
        layers = (path.read_bytes() for path in blobs)
        texts = [gzip.decompress(each) if each.startswith(b"\x1f\x8b") else each for each in layers]
        found += [f"{other} in {name}"] * any(f"MARK-{other}".encode() in text for text in texts)
    return found


def main(bento, base):
    scratch = Path(tempfile.mkdtemp()).resolve()
    command, failed = _Command(bento, base, scratch), 0
    for end, kind in CASES[int(os.environ.get("START", 0)) :]:
        different, number = _compare(command, scratch, end, kind)
        failed += bool(different)
        sys.stdout.write(f"{end} {kind}: {number} files, {different or 'equal'}\n")
    for seed in range(20):
        found = _clones(command, scratch, seed)
        failed += bool(found)
        sys.stdout.write(f"clones {seed}: {found or 'apart'}\n")
    shutil.rmtree(scratch)
    sys.exit(f"{failed} failed" if failed else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
