"""Images as steps: read from a source, checked, frozen."""

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.bentos.assembly import image_steps as images
from rules_bento.bentos.assembly.image_steps import ImageDefinition
from rules_bento.bentos.build_options.options import BuildOptions, Docker, Python
from rules_bento.bentos.build_options.project import ProjectFiles
from rules_bento.bentos.service import Image as Declared
from rules_bento.bentos.service import ImageCall, Service, ServiceInfo

FILES = ProjectFiles(
    {
        "s.sh": b"#!/bin/sh\n",
        "pyproject.toml": b'[project]\nname = "x"\ndependencies = ["attrs", "idna"]\n',
        "req.txt": b"-r sub/more.txt\nnumpy\n",
        "sub/more.txt": b"-r less.txt\nscipy",
        "sub/less.txt": b"idna<4",
        "loop.txt": b"-r sub/../loop.txt\n",
        "out.txt": b"-r ../r.txt\n",
        "net.txt": b"-r https://h.example/r.txt\n",
    }
)
APT = "apt-get update && apt-get install -q -y --no-install-recommends --allow-remove-essential "
APT += "ca-certificates gnupg2 bash build-essential git"


def frozen(*steps, options=None, **fields):
    image = ImageDefinition(**fields, steps=tuple(ImageCall(kind, tuple(values)) for kind, *values in steps))
    images.check(image)
    return images.freeze(image, options or BuildOptions(), FILES, "3.11")


def texts(commands):
    return [command.text for command in commands]


def lines_of(made):
    return [line.written for line in made.requirements]


def test_an_image_without_settings_has_the_defaults_of_bentoml():
    made = frozen()
    assert (made.base_image, made.python_version, made.distro) == ("python:3.11-slim", "3.11", "debian")
    assert texts(made.commands) == [APT]
    assert lines_of(made) == []


def test_order_before_and_after_the_packages():
    made = frozen(
        ("run", "echo 1"),
        ("system_packages", "vim", "a+b"),
        ("run_script", "s.sh"),
        ("python_packages", "idna"),
        ("system_packages", "git"),
        ("run", "echo 2"),
        ("run_script", "./s.sh"),
    )
    [script] = made.files
    command = f"chmod +x ./{script} && ./{script}"
    install = "apt-get install -q -y -o Dpkg::Options::=--force-confdef"
    assert texts(made.commands) == [APT, "echo 1", f"{install} vim a+b", command, f"{install} git"]
    assert texts(made.post_commands) == ["echo 2", command]
    assert made.files == {script: b"#!/bin/sh\n"}


def test_requirements_of_all_kinds():
    made = frozen(
        ("python_packages", "a", "b>=1"),
        ("requirements_file", "req.txt"),
        ("pyproject_toml",),
        ("pyproject_toml", "./pyproject.toml"),
        ("requirements", "x\ny"),
        ("build_include", "data/"),
    )
    lines = [
        "a", "b>=1", "idna<4", "scipy", "numpy", "attrs", "idna", "attrs", "idna", "x", "y",
    ]  # fmt: skip
    assert lines_of(made) == lines
    assert made.build_include == ("data/",)


def test_constraints_require_a_lock():
    files = ProjectFiles({"r.txt": b"-c limits.txt\nidna\n", "limits.txt": b"six<2\n"})
    image = ImageDefinition(steps=(ImageCall("requirements_file", ("r.txt",)),))
    options = BuildOptions(python=Python(requirements_txt="r.txt"))
    assert lines_of(images.freeze(image, options, files, "3.11", locked=True)) == ["idna", "idna"]
    with pytest.raises(BentoError, match=r"^limits.txt:1: a Bento can't contain the constraint 'six<2'"):
        images.freeze(image, options, files, "3.11")


def test_options_win_over_fields_and_come_behind_steps():
    options = BuildOptions(
        docker=Docker(distro="alpine", python_version="3.13", system_packages=("curl",), setup_script="s.sh"),
        python=Python(packages=("numpy",), index_url="https://i.example"),
    )
    made = frozen(
        ("python_packages", "idna"), ("run", "echo after"), options=options, distro="debian", python_version="3.12"
    )
    assert made.base_image == "python:3.13-alpine"
    assert texts(made.commands) == [
        "apk add --update bash gcc libc-dev shadow musl-dev build-base linux-headers g++ git",
        "apk add --update curl",
    ]
    assert lines_of(made) == ["idna", "--index-url https://i.example", "numpy"]
    assert len(made.post_commands) == 2
    assert made.post_commands[-1].script


@pytest.mark.parametrize(
    ("fields", "steps", "commands"),
    [
        ({"base_image": "b:1"}, [], []),
        ({"base_image": "b:1", "distro": ""}, [("run", "x")], ["x"]),
        ({"base_image": "b:1", "distro": "debian"}, [], [APT]),
        ({"base_image": "b:1"}, [("run", "x")], ["x"]),
    ],
)
def test_base_images(fields, steps, commands):
    made = frozen(*steps, **fields)
    assert made.base_image == "b:1"
    assert texts(made.commands) == commands


def check(steps=(), **fields):
    steps = tuple(ImageCall(kind, tuple(values)) for kind, *values in steps)
    images.check(ImageDefinition(**fields, steps=steps, place="//x:env"))


def service(image: Declared) -> ServiceInfo:
    return ServiceInfo(
        "service:Svc", "service.py", "new", "svc", "Svc", (Service("Svc", "Svc", "lib.py", 4),), image=image
    )


@pytest.mark.parametrize("text", ["a && \\\n  b", "a \\\n\\ \t\n# c \\\nb", " a\n", "a \\ b"])
def test_a_command_with_continued_lines(text):
    made = frozen(("run", text))
    assert texts(made.commands)[-1] == text.strip()


@pytest.mark.parametrize("text", ["a\nb", "a \\\nb\nc", "a\rUSER root", "a \\", "a \\\n b \\", "", " \n ", "a \\ b\nc"])
@pytest.mark.parametrize("kind", ["run", "run_after"])
def test_a_command_that_ends_before_its_last_line(kind, text):
    """BentoML writes it into the Dockerfile, where the other lines are instructions, or the next one isn't."""
    with pytest.raises(
        BentoError, match=f"^//x:env: {kind}: a command must be one nonempty line, or lines that end in"
    ):
        check(steps=[[kind, text]])


def test_from_a_source():
    declared = Declared(
        {
            "base_image": "",
            "python_version": "3.12",
            "commands": ["echo 0"],
            "python_requirements": "idna\n",
            "post_commands": ["echo 9"],
            "build_include_paths": ["data"],
            "lock_python_packages": False,
        },
        (ImageCall("system_packages", ("git",)), ImageCall("run", ("echo 1",))),
    )
    made = images.freeze(images.from_service(service(declared)), BuildOptions(), FILES, "3.11")
    assert made.base_image == "python:3.12-slim"
    assert texts(made.commands)[1:2] == ["echo 0"]
    assert texts(made.post_commands) == ["echo 9", "echo 1"]
    assert lines_of(made) == ["idna"]
    assert made.build_include == ("data",)


def test_an_argument_that_image_does_not_take():
    with pytest.raises(
        BentoError,
        match=r"^lib\.py:4: the image of the service: argument of Image: invalid value 'command'\. Did you mean 'commands'\? Valid values: base_",
    ):
        images.from_service(service(Declared({"command": ["echo 0"]}, ())))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"distro": "debain"}, "distro: invalid value 'debain'. Did you mean 'debian'?"),
        ({"distro": ""}, "neither distro nor base_image is set"),
        ({"python_version": "2.7"}, "Python 2.7 isn't supported"),
        ({"python_version": "x"}, "python_version: invalid Python version 'x'"),
        ({"steps": [["run"]]}, "run: expected one argument, got 0"),
        ({"steps": [["run", "a\nb"]]}, "a command must be one nonempty line"),
        ({"steps": [["uv_lock", "x"]]}, "uv_lock: expected no arguments, got 1"),
        ({"steps": [["python_packages"]]}, "python_packages: the step has no arguments"),
        ({"steps": [["python_packages", "--force"]]}, "uv doesn't support '--force' in a requirements file"),
        ({"steps": [["system_packages", "a b"]]}, "invalid system package 'a b'"),
        ({"base_image": "b", "distro": "", "steps": [["system_packages", "a"]]}, "system packages require a distro"),
        ({"steps": [["python_packages", "a"], ["run", "x"], ["python_packages", "b"]]}, "python_packages follows a command that runs after the installation of the Python packages"),
    ],
)  # fmt: skip
def test_invalid_input_is_rejected(data, message):
    with pytest.raises(BentoError) as error:
        check(**data)
    assert str(error.value).startswith("//x:env: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (("run_script", "missing.sh"), "'missing.sh' isn't a file in the build context"),
        (("run_script", "../s.sh"), "is outside the build context"),
        (("build_include", "/etc"), "is outside the build context"),
        (("requirements_file", "loop.txt"), "loop.txt includes itself"),
        (("requirements_file", "out.txt"), "out.txt:1: '../r.txt' is outside the build context"),
        (("requirements_file", "net.txt"), "net.txt:1: the remote file 'https://h.example/r.txt' can't be included"),
    ],
)
def test_files_rejected(step, message):
    with pytest.raises(BentoError, match=message):
        frozen(step)


def test_a_call_that_bentoml_does_not_know():
    with pytest.raises(BentoError, match="method of Image: invalid value 'env'"):
        images.from_service(service(Declared({}, (ImageCall("env", ()),))))
