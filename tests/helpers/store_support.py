"""Helpers for the tests of the store, archives, bundles, and the command."""

import io
import json
import lzma
import os
import signal
import subprocess
import sys
import tarfile
from functools import lru_cache
from itertools import count
from pathlib import Path

import pytest
import yaml

PACKAGE = Path(__file__).resolve().parents[2] / "py"
DAY_1, DAY_2, DAY_3 = (f"2026-01-0{day}T00:00:00+00:00" for day in (1, 2, 3))


@pytest.fixture
def bento(store, capsys):
    """Return a function that runs a command on the store in this process, and returns the output."""
    from bento_cli.cli import main

    def run(*words, code=0, home=store):
        try:
            found = main(["--home", str(home.home.root), *map(str, words)])
        except SystemExit as end:
            found = end.code
        out, err = capsys.readouterr()
        assert found == code, (out, err)
        return out + err

    return run


def ask(real, script, questions):
    """Return the answers of one process of the real BentoML. `script` defines `answer(question)`.

    Startup needs half a second, so tests ask all questions together.
    """
    lines = "import json, sys\nfor line in open(sys.argv[1]):\n    print('=' + json.dumps(answer(json.loads(line))))\n"
    asked = real.directory / "questions"
    asked.write_text("".join(json.dumps(question) + "\n" for question in questions))
    out = real.ask(f"{script}\n{lines}", str(asked))
    return [json.loads(line[1:]) for line in out.splitlines() if line.startswith("=")]


def bento_yaml(tag="hi:v1", created=DAY_1, models=(), **fields):
    """Return a bento.yaml with the fields that serving requires."""
    name, version = tag.split(":")
    document = {
        "service": "service:Hi",
        "name": name,
        "version": version,
        "bentoml_version": "1.4.40",
        "creation_time": created,
        "models": [{"tag": model, "module": "", "creation_time": DAY_1} for model in models],
        "spec": 2,
        "entry_service": "Hi",
        "services": [{"name": "Hi", "service": ""}],
        "image": {"base_image": "python:3.11-slim", "python_version": "3.11"},
    }
    return yaml.safe_dump(document | fields, sort_keys=False).encode()


def model_yaml(tag="clf:v1", created=DAY_1, **fields):
    """Return a model.yaml in the form that `bentoml.models.create` writes."""
    name, version = tag.split(":")
    document = {
        "name": name,
        "version": version,
        "module": "",
        "labels": {},
        "options": {},
        "metadata": {},
        "context": {"framework_name": "", "framework_versions": {}, "bentoml_version": "1.4.40", "python_version": "3"},
        "signatures": {},
        "api_version": "v1",
        "creation_time": created,
    }
    return yaml.safe_dump(document | fields, sort_keys=False).encode()


def model_files(tag="clf:v1", created=DAY_1, payload=b"weights " * 500):
    """Return the files of a model."""
    return {"model.yaml": model_yaml(tag, created), "weights.bin": payload, "folder/extra.json": b"{}\n"}


def bento_files(tag="hi:v1", created=DAY_1, models=(), **extra):
    """Return the files of a small Bento, and of the models in `models` (files by tag)."""
    files = {
        "README.md": b"# hi\n",
        "bento.yaml": bento_yaml(tag, created, models),
        "env/docker/Dockerfile": b"FROM scratch\n",
        "env/docker/entrypoint.sh": b"#!/bin/sh\nexec true\n",
        "src/service.py": b"import bentoml\n",
        "src/package/__init__.py": b"",
        "src/package/data.csv": f"version,{tag}\n".encode() * 100,
    }
    files |= {path.replace("__", "/"): data for path, data in extra.items()}
    for model, content in dict(models).items():
        files |= {f"models/{model.replace(':', '/')}/{path}": data for path, data in content.items()}
        files[f"models/{model.split(':')[0]}/latest"] = model.split(":")[1].encode()
    return files


def tar(files, format=tarfile.PAX_FORMAT, prefix="./"):  # noqa: A002
    """Return a tar of files (bytes by path). Scripts are executable."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for path, data in files.items():
            info = tarfile.TarInfo(prefix + path)
            info.size = len(data)
            info.mode = 0o755 if data.startswith(b"#!") else 0o644
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def write_archive(path, files):
    """Write a `.bento` or `.bentomodel` with the files. Returns the path."""
    path.write_bytes(_compressed(tar(files)))
    return path


@lru_cache(4)
def _compressed(data):
    """Compress an archive once: most tests have the same Bentos."""
    return lzma.compress(data, preset=0)


def tree(directory):
    """Return the files below a directory, by path: the bytes and whether the file is executable, or the link target."""
    found = {}
    for path in directory.rglob("*"):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file():
            found[name] = (path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return found


def expected(files):
    """Return the expected result of `tree` for an entry with these files."""
    return {path: (data, data.startswith(b"#!")) for path, data in files.items() if not path.startswith("models/")}


def command(*arguments):
    """Return the command line that runs our command in a separate process."""
    return [sys.executable, "-c", "import sys; from bento_cli.cli import main; sys.exit(main())", *map(str, arguments)]


class Conversation:
    """Runs a process of the real BentoML that answers questions one by one. Its `script` defines `answer(question)`."""

    def __init__(self, real, script):
        loop = "import json, sys\nout = sys.stdout\nsys.stdout = sys.stderr\n"
        loop += "for line in sys.stdin:\n    print(json.dumps(answer(json.loads(line))), file=out, flush=True)\n"
        program = real.directory / "conversation.py"
        program.write_text(f"{script}\n{loop}")
        self._process = subprocess.Popen(
            [real.python, program],
            cwd=real.directory,
            env=real.variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        assert self._process.wait(60) == 0
        self._process.stdout.close()

    def ask(self, *question):
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGING = {"os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.chmod", "os.utime"}
CHANGING |= {"fcntl.flock"}


def forked(work):
    """The number of a new process that does the work; its status says whether the work came to its end."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def killed_at(step, work):
    """Do the work in a process that is killed before the step that changes anything; whether it came to its end.

    Python tells of each step itself (PEP 578), so none is forgotten.
    """
    steps = count(1)

    def before(event, arguments):
        writing = event == "open" and arguments[2] & WRITING
        if (writing or event in CHANGING) and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    child = forked(lambda: (sys.addaudithook(before), work()))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status == 0


def in_children(*works):
    """Do all works at the same time; whether each came to its end without an error."""
    children = [forked(work) for work in works]
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 for child in children]


def copy_of(home, target):
    """A copy of a store, with its hard links."""
    from bento_cli.library import Store

    subprocess.run(["cp", "-a", home, target], check=True)
    return Store(target, durable=False)


def run_command(store, *words, code=0):
    """Run our command on a store in this process, and check its exit code."""
    from bento_cli.cli import main

    assert main(["--home", str(store.home.root), *map(str, words)]) == code
