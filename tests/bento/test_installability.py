"""Requirements that an image build can't install are errors by line. The reference is uv, which images use."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from bento_cli.projects.from_directory import ExtraOptions, build
from bento_cli.projects.project_locks import LockOptions
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages.requirement_syntax import LockedRequirements

from tests.packages.metadata_index import Index, package, serve

UV = os.environ["RULES_BENTO_UV"]
SERVICE = "import bentoml\n\n\n@bentoml.service(image=bentoml.images.Image(){})\nclass S:\n    pass\n"
WHEEL = "web-1.0-py3-none-any.whl"
# Lines of requirements.txt. INDEX and FILES are addresses of the index and of its files.
INSTALLABLE = [
    *("web", "web==1.0", "web>=1,<2", "web~=1.0", "web===1.0", "web (==1.0)", "web==1.0,", "web\t==1.0  # why"),
    *("web [a] >=1 ; python_version > '3'", "web ;python_version<'3'", "web==1.0 ; python_version in '3.9, 3.11'"),
    *(f"web @ FILES/{WHEEL}", f"FILES/{WHEEL}", f"web@FILES/{WHEEL}", "web @ FILES/web-2.0.tar.gz#egg=web"),
    *("--pre\nweb", "--prefer-binary\nweb", "--use-feature x\nweb", "--trusted-host h\nweb", "--trusted-host=h:1\nweb"),
    *("--no-binary core\nweb", "--only-binary :all:\nweb", "--only-binary=web\nweb", "--pre --prefer-binary\nweb"),
    *("--index-url INDEX\nweb", "-i INDEX\nweb", "-i=INDEX\nweb", "-f INDEX/web/\nweb", "-i INDEX --pre\nweb"),
    *("--extra-index-url INDEX --extra-index-url INDEX\nweb", "web==1.0 \\\n  ,<2", "web\\\n>=1", "--pre \\\n\nweb"),
    *("web\nweb", "web==1.0\nweb==1", "web==1.26\nweb==1.26.0", "web[a]==1.0\nweb==1.0", "web!=1.0\nweb==2.0"),
    *("web==1.0 ; sys_platform=='win32'\nweb==2.0", "web==1.0 ; python_version<'3'\nweb==2.0 ; python_version>'3'"),
    *("web>1.0,!=2.*\nweb<1.27", "web==1.*,!=1.0", "web>=1.0\nweb<=1.0", "Web==1.0\nwEb>0"),
    *("# comment", "", "web==1.0 ; extra == 'x'\nweb==2.0"),
]
# Lines that uv rejects, and a part of the message: of the line's own check, or of uv's error.
NO_FILE = "isn't in the image when packages are installed"
REJECTED = [
    *((line, NO_FILE) for line in ("./packages/lib", "packages/lib/", "lib @ ./packages/lib", "./nowhere/lib[gpu]")),
    *((line, NO_FILE) for line in ("packages/lib ; os_name=='a'", "..", "x-1-py3-none-any.whl", "./x-1.tar.gz")),
    *((line, NO_FILE) for line in ("lib @ file:packages/lib", "web @ file:///nowhere/x.whl", "/x/y", "-f wheels\nweb")),
    *((line, "the image has no sources") for line in ("-e .", "--editable=packages/lib")),
    *((line, "semicolon (after name with no version") for line in ("web=1.0", "web 1.0", "web=>1", "web==", "name: x")),
    *((line, "Expected package name") for line in ("_web", "'web'", "@ file:///x", '{"a": 1}')),
    *((line, "marker variable or quoted string") for line in ("web;", "web==1.0 ; foo=='1'")),
    *(("web@", "Expected URL after @"), ("web==1.0 ; python_version", "Expected marker operator")),
    *((line, "Write the option as a line of its own") for line in ("web --no-binary :all:", "web -i x", "web==1.0 --pre")),
    *((line, "uv doesn't support") for line in ("--unknown\nweb", "-U\nweb", "-iINDEX\nweb", "--hash=sha256:00\nweb")),
    *((line, "can't have the value") for line in ("--no-index=1\nweb", "--extra-index-url\nweb", "-i h\nweb", "-f\nweb")),
    *((line, "can't have the value") for line in ("--only-binary=web,core\nweb", "--only-binary web core\nweb")),
    *((line, "uv can't lock 'web") for line in ("web<1,>=1", "web==1.0\nweb==2.0", "web[a]==1.0\nWEB==2.0")),
    *((line, "uv can't lock 'web") for line in ("web @ https://h/x.whl", "web @ https://h/x", "web==1.*\nweb==2.*")),
    *(("https://h/x.txt", "uv can't lock 'https:"), ("https://h/", "uv can't lock 'https:")),
    *((line, "isn't an https:// URL") for line in ("web @ ftp://h/web-1.0.tar.gz", "web @ hg+https://h/x")),
]  # fmt: skip


@pytest.fixture(scope="module")
def index():
    found = Index([package("web", version, extras={"a": ["core"]}) for version in ("1.0", "1.26.0")])
    found.add(package("web", "2.0", sdist=True))
    found.add(package("core", "1.0"))
    found.add(package("bentoml", "1.4.39"))
    with serve(found) as found.address:
        yield found


@pytest.fixture
def project(tmp_path, index):
    """A project with the package `lib`, and an empty directory for a Bento."""
    root = tmp_path / "project"
    (root / "packages" / "lib").mkdir(parents=True)
    (root / "packages" / "lib" / "pyproject.toml").write_text('[project]\nname = "lib"\nversion = "1"\n')
    (root / "service.py").write_text(SERVICE.format(""))
    return root


def compile_with_uv(bento: Path, command: str, index: Index) -> bool:
    """Return whether uv can install requirements. Runs `uv pip install`, but doesn't install packages."""
    words = shlex.split(command.replace("pip install", "pip compile").replace("$BENTO_PATH", str(bento)))
    words.remove("-r")
    options = ["--default-index", index.address, "--no-config", "--python", sys.executable]
    environment = os.environ | {"UV_CACHE_DIR": str(bento.parent / "cache"), "UV_HTTP_RETRIES": "0"}
    done = subprocess.run([UV, *words[1:], *options], cwd=bento, env=environment, capture_output=True, text=True)
    assert "error sending request" not in done.stderr, done.stderr
    return not done.returncode


def image_installs(project: Path, index: Index, **options: object) -> bool:
    """Build a Bento, and return whether uv accepts the files that the Dockerfile copies before it installs packages."""
    made, bento = build("service:S", build_ctx=project, **options).bento, project.parent / "bento"
    dockerfile = re.sub(r"\s*\\\n\s*", " ", made.files["env/docker/Dockerfile"].decode())
    command = re.findall(r"(uv (?:--directory src )?pip install -r .*)", dockerfile)[0]
    for path in re.findall(r"^COPY src/(\S+) ", dockerfile.partition(command)[0], re.MULTILINE):
        is_directory = (project / path).is_dir()
        (bento / "src" / path).parent.mkdir(parents=True)
        (shutil.copytree if is_directory else shutil.copyfile)(project / path, bento / "src" / path)
    (bento / "env" / "python").mkdir(parents=True)
    for name in ("requirements.txt", "requirements.lock.txt"):
        if f"env/python/{name}" in made.files:
            (bento / "env" / "python" / name).write_bytes(made.files[f"env/python/{name}"])
    return compile_with_uv(bento, command, index)


def filled(text: str, index: Index) -> str:
    return text.replace("INDEX", index.address).replace("FILES", index.address.replace("/simple", "/files"))


@pytest.mark.parametrize("text", INSTALLABLE)
def test_what_uv_installs_is_accepted(project, index, text):
    (project / "requirements.txt").write_text(filled(text, index) + "\n", "utf-8")
    assert image_installs(project, index, python={"requirements_txt": "requirements.txt"})


@pytest.mark.parametrize(("text", "message"), REJECTED)
def test_what_uv_rejects_is_an_error_of_the_line(project, index, monkeypatch, text, message):
    text = filled(text, index)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("UV_CACHE_DIR", str(project.parent / "cache"))
    monkeypatch.setattr("rules_bento.bentos.packages.uv.find_uv", lambda: UV)
    bento = project.parent / "bento"
    (bento / "env" / "python").mkdir(parents=True)
    (bento / "env" / "python" / "requirements.txt").write_text(f"{text}\nbentoml==1.4.39\n", "utf-8")
    assert not compile_with_uv(bento, "uv pip install -r env/python/requirements.txt", index)
    (project / "requirements.txt").write_text(f"core\n{text}\n", "utf-8")
    options = {"requirements_txt": "requirements.txt"} | (
        {} if text[:2] in ("-i", "--") else {"index_url": index.address}
    )
    with pytest.raises(BentoError, match=rf"requirements\.txt:2\b.*{re.escape(message)}|{re.escape(message)}.*txt:2\b"):
        build("service:S", build_ctx=project, python=options, extra=ExtraOptions(locking=LockOptions()))


def test_a_directory_that_the_image_copies_is_installable(project, index):
    for line in ("./packages/lib", "packages/lib/", "lib @ ./packages/lib", "./packages/lib[gpu]"):
        call = f".build_include('packages').python_packages({line!r})"
        (project / "service.py").write_text(SERVICE.format(call))
        assert image_installs(project, index)
        shutil.rmtree(project.parent / "bento")
    for line in ("./packages", "./packages/other", "./packages/lib/lib.py", "./packages2/lib", "./wheels/x.whl"):
        call = f".build_include('packages').python_packages({line!r})"
        (project / "service.py").write_text(SERVICE.format(call))
        with pytest.raises(
            BentoError, match=r"^service\.py:5: the image .*isn't in the image when packages are installed\."
        ):
            build("service:S", build_ctx=project)


def test_a_wheel_of_the_project_is_installable(project, index):
    (project / "wheels").mkdir()
    (project / "wheels" / WHEEL).write_bytes(index.files[WHEEL])
    for line in (f"./wheels/{WHEEL}", f"wheels/{WHEEL}", f"web @ ./wheels/{WHEEL}", f"./wheels/../wheels/{WHEEL}"):
        assert image_installs(project, index, python={"packages": [line]})
        shutil.rmtree(project.parent / "bento")
    with pytest.raises(BentoError, match=r"^python\.packages: can't install .* isn't in the image when"):
        build("service:S", build_ctx=project, python={"packages": [f"./wheels/{WHEEL}"], "lock_packages": False})


def test_a_lock_keeps_each_wheel_of_the_project(project):
    (project / "wheels").mkdir()
    (project / "wheels" / WHEEL).write_bytes(b"")
    locked = LockedRequirements("bentoml\n", (("bentoml==1.4.39", ("0",)),))
    for line in (f"./wheels/{WHEEL}", f"wheels/{WHEEL}", f"web @ ./wheels/{WHEEL}"):
        extra = ExtraOptions(lock=locked)
        files = build("service:S", build_ctx=project, python={"packages": [line]}, extra=extra).bento.files
        assert files["env/python/requirements.txt"].decode() == f"{line}\nbentoml==1.4.39\n"


@pytest.mark.parametrize(
    ("lines", "is_provided"),
    [
        (["./wheels/x-1-py3-none-any.whl"], True),
        (["--find-links wheels", "x"], True),
        (["./wheels/y-1-py3-none-any.whl"], False),
        (["./x-1-py3-none-any.whl"], False),
        (["./packages/lib"], False),
        (["-f ./packages", "x"], False),
    ],
)
def test_spec_1_has_the_wheels_of_the_options(project, lines, is_provided):
    (project / "service.py").write_text(SERVICE.replace("(image=bentoml.images.Image(){})", ""))
    (project / "x-1-py3-none-any.whl").write_bytes(b"")
    (project / "requirements.txt").write_text("\n".join(lines))
    options = {"requirements_txt": "requirements.txt", "wheels": ["x-1-py3-none-any.whl"]}
    message = r"^requirements\.txt:1: can't install .* isn't in the image .* add the wheel to python\.wheels"
    with nullcontext() if is_provided else pytest.raises(BentoError, match=message):
        build("service:S", build_ctx=project, python=options)


def test_the_option_that_the_message_names_has_the_effect(project):
    options = {"packages": ["torchvision==0.9.2"], "extra_index_url": ["https://h"]}
    files = build("service:S", build_ctx=project, python=options).bento.files
    lines = ["--extra-index-url https://h", "torchvision==0.9.2", "bentoml==1.4.39"]
    assert files["env/python/requirements.txt"].decode().splitlines() == lines


@pytest.mark.parametrize(
    "line", ["a @ {}/x", "a @ {}/a-1.zip --pre", "-i {}/x y", "a @ {0}/a-1.zip\na @ {0}/a-2.zip", "-i{}"]
)
def test_no_message_shows_a_password(project, line):
    (project / "requirements.txt").write_text(line.format("https://user:s3cret@h"))
    with pytest.raises(BentoError) as error:
        build("service:S", build_ctx=project, python={"requirements_txt": "requirements.txt"})
    assert "s3cret" not in str(error.value)
