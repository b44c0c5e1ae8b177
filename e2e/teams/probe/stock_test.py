"""Writes the modules of a Bento that stock BentoML imports and serves, and of a program in an image."""

import json
import os
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from pathlib import Path

COMMAND = [sys.executable, "-m", "bentoml"]
HOME = os.environ["TEST_TMPDIR"]
OUTPUTS = Path(os.environ["TEST_UNDECLARED_OUTPUTS_DIR"])
PACKAGES = os.pathsep.join(path for path in sys.path if "site-packages" in path)
ENVIRONMENT = os.environ | {"BENTOML_DO_NOT_TRACK": "1", "BENTOML_HOME": HOME, "HOME": HOME, "PYTHONPATH": PACKAGES}


def served(archive):
    """Return the answer of a server of stock BentoML."""
    subprocess.run([*COMMAND, "import", str(Path(archive).absolute())], env=ENVIRONMENT, check=True)
    [bento] = Path(HOME, "bentos").glob("*/*/bento.yaml")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = [*COMMAND, "serve", str(bento.parent), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(serve, env=ENVIRONMENT, cwd=HOME)
    url, headers = f"http://127.0.0.1:{port}/modules", {"Content-Type": "application/json"}
    try:
        for _ in range(600):
            assert server.poll() is None
            try:
                with urllib.request.urlopen(urllib.request.Request(url, b"{}", headers), timeout=600) as response:
                    return json.load(response)
            except OSError:
                time.sleep(0.2)
    finally:
        server.terminate()
        server.wait(60)
    raise TimeoutError(url)


def contained(layout):
    """Return the answer of the program of an image, with its files and variables, in the Python of this test."""
    directory = Path(HOME, "image")
    blobs = Path(layout, "blobs/sha256")
    [described] = json.loads(Path(layout, "index.json").read_text())["manifests"]
    manifest = json.loads((blobs / described["digest"].partition(":")[2]).read_text())
    config = json.loads((blobs / manifest["config"]["digest"].partition(":")[2]).read_text())["config"]
    for layer in manifest["layers"]:
        blob = blobs / layer["digest"].partition(":")[2]
        if blob.exists():
            with tarfile.open(blob) as archive:
                files = [each for each in archive if each.isfile() and each.name.startswith("app/")]
                archive.extractall(directory, files, filter="data")
    # The image's interpreter is the one of this test. Its path has at most 126 characters.
    python = Path(directory, "python")
    python.symlink_to(sys.executable)
    for file in directory.rglob("*"):
        if file.is_file() and file.read_bytes().startswith(line := b"#!/app/.venv/bin/python\n"):
            file.write_bytes(file.read_bytes().replace(line, f"#!{python}\n".encode(), 1))
    environment = dict(each.split("=", 1) for each in config["Env"])
    roots = [f"{directory}{root}" for root in environment["PYTHONPATH"].split(":")]
    roots += map(str, directory.glob("app/.venv/lib/*/site-packages"))
    runfiles = f"{directory}{environment['RUNFILES_DIR']}"
    environment |= {"PYTHONPATH": os.pathsep.join(roots), "RUNFILES_DIR": runfiles, "PATH": os.environ["PATH"]}
    words = [f"{directory}{word}" if word.startswith("/app/") else word for word in config["Cmd"][1:]]
    place = f"{directory}{config['WorkingDir']}"
    return json.loads(subprocess.run([python, "-S", *words], cwd=place, env=environment, stdout=-1, check=True).stdout)


OUTPUTS.joinpath("stock.json").write_text(json.dumps(served(sys.argv[1])), "utf-8")
OUTPUTS.joinpath("image.json").write_text(json.dumps(contained(sys.argv[2])), "utf-8")
