"""An image of this interpreter, as the targets of images have it, and processes of its containers."""

import io
import json
import os
import subprocess
import sys
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from rules_bento.base.archives.tarstream import Member
from rules_bento.base.formats.oci import Layer
from rules_bento.images.layers.layer import write_files_layer
from rules_bento.images.registry.descriptor import digest_of

TAR = "application/vnd.oci.image.layer.v1.tar"


def member(name, kind=tarfile.REGTYPE, link="", mode=0o644):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def file(name, data=b"data"):
    return member(name), data


def link(name, target):
    return member(name, tarfile.SYMTYPE, target), b""


SERVICE = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(404 if self.path != "/readyz" else 200)
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(int(body) if body.isdigit() else 200)
    def answer(self, status):
        if self.command == "POST":
            open("/srv/of_an_answer").close()
            open("/srv/of_an_answer").read()
        self.send_response(status)
        self.end_headers()
open("/srv/read").read()
open("/srv/logs/own", "w").write("1")
open("/srv/logs/own").read()
import os
os.stat("/srv/looked_at")
import socketserver
socketserver.TCPServer(("127.0.0.1", 3000), Handler).serve_forever()
"""


def of_this_python():
    """What the service needs: the files that Python has open or has imported when it has the same modules."""
    code = "import http.server, sys; print(sys.base_prefix); print(*sorted(m.__file__ for m in sys.modules.values() "
    code += "if getattr(m, '__file__', None)), sep='\\n'); print(open('/proc/self/maps').read())\n"
    # In Python 3.13, this file puts another module in its place.
    code += "import collections; print(collections.__path__[0] + '/abc.py')"
    told = subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, capture_output=True, text=True).stdout
    prefix, *lines = told.splitlines()
    paths = {line.split()[-1] for line in lines if line}
    paths |= {str(path) for directory in ("/lib", "/lib64") for path in Path(directory).glob("ld-linux*.so.*")}
    return absolute(prefix), sorted({absolute(path) for name in paths if (path := file_with(name))})


def file_with(module):
    """The file of a module, or the archive that it is in."""
    return next((path for path in (Path(module), *Path(module).parents) if path.is_file()), None)


def absolute(path):
    return os.path.normpath(Path(path).absolute())


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The folder that a target of an image has in its runfiles."""
    directory = tmp_path_factory.mktemp("image")
    prefix, paths = of_this_python()
    entries = [Member.file(os.path.realpath(path)[1:], path, mode=0o755) for path in paths]
    entries += [Member.symlink(path[1:], os.path.realpath(path)) for path in paths if os.path.realpath(path) != path]
    libraries = [Path(os.path.realpath(path)) for path in paths if ".so." in path]
    for library in libraries:  # the linker looks for `libz.so.1`, and the file is libz.so.1.3
        parts = library.name.partition(".so.")[2].split(".")
        names = [f"{library.name.partition('.so.')[0]}.so.{'.'.join(parts[:count])}" for count in range(1, len(parts))]
        entries += [Member.symlink(str(library.with_name(name))[1:], library.name) for name in names]
    entries += [Member.inline("srv/service.py", SERVICE.encode()), Member.directory("srv/logs", uid=1034)]
    entries += [Member.inline(f"srv/{name}", b"1") for name in ("read", "looked_at", "of_an_answer", "unread")]
    info = write_files_layer(directory / "layer", {entry.path: entry for entry in entries}.values(), "none")
    described = {"media_type": TAR, "digest": info.digest, "size": info.size, "diff_id": info.diff_id, "name": "all"}
    (directory / "layer.json").write_text(json.dumps(described), "utf-8")
    python = os.path.realpath(sys.executable)
    config = {
        "Entrypoint": [python, "-S", "/srv/service.py"],
        "Env": [
            f"PYTHONHOME={prefix}",
            f"LD_LIBRARY_PATH={':'.join(sorted({str(path.parent) for path in libraries}))}",
        ],
        "ExposedPorts": {"3000/tcp": {}},
        "User": "1034:1034",
        "WorkingDir": "/srv",
    }
    (directory / "config.json").write_text(json.dumps({"config": config}), "utf-8")
    blobs = [{"description": "layer.json", "path": "layer", "from": ""}]
    (directory / "contents.json").write_text(json.dumps({"image": {"blobs": blobs, "config": "config.json"}}), "utf-8")
    return directory


def changed(image, directory, config=(), layer=None):
    """The image with another config, and with a layer of links and files above, written as tar has them."""
    described = json.loads((image / "config.json").read_text("utf-8"))["config"] | dict(config)
    contents = json.loads((image / "contents.json").read_text("utf-8"))
    directory.mkdir()
    for path in image.iterdir():
        (directory / path.name).symlink_to(path)
    for name in ("config.json", "contents.json"):
        (directory / name).unlink()
    if layer:
        with tarfile.open(directory / "above", "w") as tar:
            for info, data in layer:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        digest = digest_of((directory / "above").read_bytes())
        about = Layer(TAR, digest, (directory / "above").stat().st_size, digest, name="above")
        (directory / "above.json").write_text(json.dumps(about._asdict()), "utf-8")
        contents["image"]["blobs"].append({"description": "above.json", "path": "above", "from": ""})
    (directory / "config.json").write_text(json.dumps({"config": described}), "utf-8")
    (directory / "contents.json").write_text(json.dumps(contents), "utf-8")
    return directory


LOADER = """
from types import SimpleNamespace as new
service = new(name="Hi", config={"workers": 2}, models=[], dependencies={}, schema=dict)
service.all_services = lambda: {"Hi": service}
def import_service():
    return service
def _load_bento(bento):
    return import_service()
"""


def serving(image, directory, workers):
    """An image whose service has 2 workers, and bento.yaml another number."""
    document = {"services": [{"name": "Hi", "models": [], "dependencies": [], "config": {"workers": workers}}]}
    files = {
        "bentoml/__init__.py": "",
        "bentoml/_internal/service/loader.py": LOADER,
        "bentoml/_internal/utils/cattr.py": "class bentoml_cattr:\n    unstructure = dict",
        "yaml.py": "def safe_load(file):\n    return eval(file.read())",
        "json.py": "loads = eval\ndef dumps(value, **_):\n    return repr(value)",  # in place of the standard library
        "__future__.py": "annotations = None",
        "bento.yaml": repr({"entry_service": "Hi", **document}),
    }
    starts = "import site; site.addsitedir('/srv/packages'); import bentoml._internal.service.loader as loader; "
    starts += "loader._load_bento(loader.new(path='/srv/packages')); exec(open('/srv/service.py').read())"
    command = {"Entrypoint": [os.path.realpath(sys.executable), "-S", "-c", starts]}
    layer = [file(f"srv/packages/{name}", text.encode()) for name, text in files.items()]
    return changed(image, directory, command, layer)


STAYS = """
import _signal, time
_signal.signal(_signal.SIGTERM, _signal.SIG_IGN)
time.sleep(900.25)
"""


def running(mark):
    """How many processes have a command line; those that end while we look have none."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            count += path.read_bytes().startswith(mark)
    return count


def python_image(image, directory, code, **config):
    return changed(image, directory, {"Entrypoint": [os.path.realpath(sys.executable), "-S", "-c", code], **config})
