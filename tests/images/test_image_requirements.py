"""What a Bento asks of its image is there, or named with the lines that add it."""

import tarfile

import pytest
import yaml
from bento_cli.projects.from_directory import build
from rules_bento.base.errors import BentoError
from rules_bento.images.layers.contents import read_files
from rules_bento.images.layers.layer import MEDIA_TYPES
from rules_bento.images.system_packages import PackageRequest, SystemFiles, read_apk, read_dpkg
from rules_bento.images.validation.bento_requirements import (
    ImageRequirements,
    ImageSystem,
    cuda_versions,
    gpu_note,
    problems,
    read_requirements,
)
from rules_bento.images.validation.remedies import Remedies

from tests.helpers.projects import write_project
from tests.helpers.tar_files import tar_of

SERVICE = "import bentoml\n\n\n@bentoml.service{image}\nclass Svc:\n    pass\n"
STATUS = """\
Package: libgl1
Status: install ok installed
Multi-Arch: same
Architecture: amd64
Version: 1.7.0-1+b2
Provides: libgl1-mesa-glx (= 1.7.0), libgl-abi

Package: mawk
Status: install ok installed
Architecture: amd64
Version: 1.3.4
Provides: awk

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: tzdata
Status: install ok installed
Architecture: all
Version: 2025b-4+deb13u1
"""
DEBIAN = ImageSystem("//base:python", ("debian",), tuple(read_dpkg(STATUS)), True, ())
PLACE = Remedies("image", "debian", "//base:python")


def requests(tmp_path, calls="", **options):
    image = f"(image=bentoml.images.Image(){calls})" if calls else ""
    directory = write_project(tmp_path / "p", {"files": {}}, SERVICE.format(image=image))
    return read_requirements(yaml.safe_load(build(build_ctx=directory, **options).bento.files["bento.yaml"]))


def found(*packages, system=DEBIAN, hint=PLACE, provided=(), distro="debian", cuda=""):
    return list(problems(ImageRequirements(distro, packages, cuda, ("make all",)), system, hint, provided))


def test_what_a_bento_asks_for(tmp_path):
    asked = requests(tmp_path, ".system_packages('libgl1', 'ffmpeg').python_packages('idna').system_packages('curl')")
    assert asked == ImageRequirements("debian", ("libgl1", "ffmpeg", "curl"), "", (), may_use_gpu=False)
    plain = {"distro": "ubi8", "system_packages": ["curl"]}
    assert requests(tmp_path, docker=plain) == ImageRequirements("ubi8", ("curl",), "", (), may_use_gpu=False)
    old = {"cuda_version": "12.6", "system_packages": ["curl"]}
    assert requests(tmp_path, docker=old) == ImageRequirements("debian", ("curl",), "12.6.3", (), may_use_gpu=False)


def test_what_every_image_of_bentoml_gets_is_not_asked_for(tmp_path):
    assert requests(tmp_path, ".python_packages('idna')").packages == ()
    assert requests(tmp_path, ".system_packages('git')").packages == ("git",)


@pytest.mark.parametrize("name", ["ffmpeg", "gone", "libgl1:arm64", "libgl1=1.6", "libgl1-mesa-glx=2", "LIBGL1"])
def test_missing_system_packages_are_reported(name):
    [one] = found("mawk", name)
    assert one.startswith(
        f"the Bento requires the system package {name}, but //base:python and the layers lack the package"
    )
    assert f'ignore_system_requirements = ["{name}"]' in one


def test_the_lines_that_add_them():
    [one] = found("libgl1=9", "ffmpeg")
    assert (
        "packages libgl1=9 and ffmpeg, but //base:python and the layers lack the packages (libgl1 is 1.7.0-1+b2 (amd64))"
        in one
    )
    assert (
        '\nbento_base(\n    name = "image_base",\n    base = "//base:python",\n    packages = [\n'
        '        "@debian//ffmpeg",\n        "@debian//libgl1",\n    ],\n)\n' in one
    )
    assert 'set base = ":image_base"' in one
    [other] = found("ffmpeg", hint=Remedies("image", "", ""))
    assert "bento_base(" not in other
    assert "Use a base image with the package ffmpeg," in other


def test_what_the_target_says_is_there():
    assert found("ffmpeg", provided=["ffmpeg"]) == []
    [one] = found("ffmpeg", provided=["ffmpg", "ffmpeg"])
    assert (
        one == "ignore_system_requirements: the Bento doesn't require 'ffmpg'. Did you mean 'ffmpeg'? Remove the name."
    )
    assert found("mawk", provided=["make all", "mawk"]) == []


@pytest.mark.parametrize("name", ["libgl*", "lib[ab]", "python3~dev", "-t", "vim-", "kde^"])
def test_what_cannot_be_looked_up_is_not_taken_for_there(name):
    [one] = found(name)
    assert repr(name) in one
    assert found(name, provided=[name]) == []


def test_a_base_of_which_nothing_is_known():
    opaque = ImageSystem("@pulled", (), (), False, ())
    [one] = found("ffmpeg", system=opaque)
    assert "the packages of @pulled are unknown" in one
    assert "base_layers=fetched" in one
    assert found("ffmpeg", system=opaque, provided=["ffmpeg"]) == []
    assert found("mawk", system=opaque._replace(packages=DEBIAN.packages)) == []
    assert found(system=opaque) == []


def test_another_distribution():
    [one] = found(distro="alpine")
    assert one.startswith("the Bento requires the distribution alpine, but //base:python is debian.")
    assert found(distro="alpine", provided=["distro"]) == []
    alpine = ImageSystem("@alpine", ("alpine",), (), True, ())
    assert found(system=alpine) == [], "BentoML's default says nothing"
    assert len(found("ffmpeg", system=alpine)) == 2
    assert found("mawk", system=DEBIAN._replace(ids=("ubuntu", "debian"))) == []
    assert found(distro="ubi8", system=alpine._replace(ids=("rocky", "rhel", "centos", "fedora"))) == []


def test_cuda():
    for has, asked in (("12.8.1", "12.8.0"), ("12.8.90", "12.8.1"), ("11.8", "11.8.0")):
        assert found(cuda=asked, system=DEBIAN._replace(cuda=(has,))) == []
    [one] = found(cuda="12.8", system=DEBIAN._replace(cuda=("12.6.3", "11.8")))
    assert one.startswith(
        "the Bento requires CUDA 12.8 (docker.cuda_version), but //base:python and the packages contain"
    )
    [one] = found(cuda="12.8")
    assert "contain no known CUDA version" in one
    assert found(cuda="12.8", provided=["cuda"]) == []
    wheels = ["nvidia_cuda_runtime_cu12-12.8.90-py3-none-manylinux2014_x86_64.whl", "numpy-2.0-x.whl"]
    assert cuda_versions({}, [*wheels, "nvidia_cuda_runtime-13.0.48-py3-none-x.whl"]) == ("12.8.90", "13.0.48")


def test_packages_of_alpine():
    text = "C:Q1\nP:busybox\nV:1.36.1-r20\nA:x86_64\np:/bin/sh cmd:sh=1.36.1-r20 so:libx.so.1=0\nF:bin\nR:busybox\n\nP:musl\n"
    packages = tuple(read_apk(text))
    assert [package.name for package in packages] == ["busybox", "musl"]
    assert PackageRequest.parse("busybox=1.36.1-r20").is_satisfied(packages)
    assert not PackageRequest.parse("busybox=1.35").is_satisfied(packages)


def layer(tmp_path, number, files):
    (tmp_path / str(number)).write_bytes(tar_of((path, data.encode()) for path, data in files.items()))
    return tmp_path / str(number), MEDIA_TYPES["none"], ""


def system(*layers):
    return SystemFiles.loads(
        SystemFiles.from_files(read_files(layers, lambda _path, _head: False, SystemFiles.has)).dumps()
    )


def test_what_the_layers_of_a_base_say(tmp_path):
    release = 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE="debian x"\n'
    below = layer(tmp_path, 0, {"var/lib/dpkg/status": "Package: old\nVersion: 1\n", "usr/lib/os-release": "ID=old\n"})
    above = layer(tmp_path, 1, {"var/lib/dpkg/status": STATUS, "etc/os-release": release})
    has = system(below, above)
    assert has.ids == ("ubuntu", "debian", "x")
    assert [package.name for package in has.packages] == ["libgl1", "mawk", "tzdata"]
    assert has.packages[0].provides == (("libgl1-mesa-glx", "1.7.0"), ("libgl-abi", ""))
    removed = layer(tmp_path, 2, {"var/lib/dpkg/.wh.status": ""})
    assert system(below, above, removed).packages is None
    distroless = layer(tmp_path, 3, {"var/lib/dpkg/status.d/tz": "Package: tz\nVersion: 1\n"})
    assert [package.name for package in system(distroless).packages] == ["tz"]
    assert system(layer(tmp_path, 4, {"etc/passwd": ""})) == SystemFiles((), None)


def test_a_list_of_packages_without_end_is_rejected(tmp_path):
    info = tarfile.TarInfo("var/lib/dpkg/status")
    info.size = 1 << 30
    (tmp_path / "blob").write_bytes(info.tobuf())
    with pytest.raises(BentoError, match=r"var/lib/dpkg/status is a sparse file, or has more than"):
        system((tmp_path / "blob", MEDIA_TYPES["none"], ""))
    info.size = 1 << 20
    (tmp_path / "blob").write_bytes(info.tobuf() + b"Package: cut\n")
    with pytest.raises(BentoError, match="the layer cannot be read"):
        system((tmp_path / "blob", MEDIA_TYPES["none"], ""))


CUDA_WHEELS = [
    ("nvidia_cublas_cu12-12.8.4.1-py3-none-x.whl", 594_000_000),
    ("nvidia_cudnn_cu12-9.10.2.21-py3-none-x.whl", 706_000_000),
    ("nvidia_nccl_cu12-2.27.3-py3-none-x.whl", 322_000_000),
    ("triton-3.4.0-cp313-cp313-x.whl", 155_000_000),
    ("nvidia_ml_py-13.580.82-py3-none-any.whl", 49_000),
]


def of_services(*configs):
    services = [{"name": "Svc", "service": "", "config": config} for config in configs]
    return read_requirements({"services": services})


def test_packages_for_cuda_that_no_service_requests():
    cpu = of_services({}, {"resources": {"cpu": "2"}})
    note = gpu_note(cpu, CUDA_WHEELS, ())
    assert note.startswith(
        "1,777 MB of the packages are for CUDA (nvidia_cudnn_cu12, nvidia_cublas_cu12, nvidia_nccl_cu12, "
    )
    assert "Lock packages for CPU" in note
    assert gpu_note(cpu, CUDA_WHEELS[-1:], ()) == ""
    assert gpu_note(cpu, CUDA_WHEELS, ["cuda"]) == ""
    assert gpu_note(of_services({}, {"resources": {"gpu": 1}}), CUDA_WHEELS, ()) == ""
    assert gpu_note(of_services({"resources": {"gpu_type": "nvidia-l4"}}), CUDA_WHEELS, ()) == ""
    assert gpu_note(of_services(), CUDA_WHEELS, ()) == "", "a legacy service"
