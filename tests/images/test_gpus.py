"""Packages without code for the GPU of a service fail the build; PTX and old drivers are noted."""

import json

import pytest
from rules_bento.actions.subcommands import run
from rules_bento.base.errors import BentoError
from rules_bento.images.validation.bento_requirements import _may_use_gpu, cuda_versions
from rules_bento.images.validation.gpus import Gpu, architectures, check
from rules_bento.images.validation.remedies import Remedies
from rules_bento.images.wheels.elf import Elf
from rules_bento.images.wheels.libraries import Libraries, Linked


def package(name, **libraries):
    """A wheel whose libraries have code for these architectures."""
    linked = [
        Linked(f"{name}/lib/{file}.so", Elf("amd64", "", (), (), gpu_code=tuple(codes.split())))
        for file, codes in libraries.items()
    ]
    return Libraries(f"{name}-1.0-py3-none-any.whl", name, tuple(linked))


def checked(gpu, *packages, cuda=(), ignored=()):
    gpus = [Gpu.parse(text, "--gpu") for text in gpu.split()]
    return check(gpus, lambda: packages, cuda, ignored, Remedies())


def problem(gpu, *packages, ignored=()):
    with pytest.raises(BentoError) as error:
        checked(gpu, *packages, ignored=ignored)
    return str(error.value)


@pytest.mark.parametrize(
    ("code", "runs", "other"),
    [
        ("sm_80", "8.0 8.6 8.9 A100 L4", "7.5 9.0 8.7 12.0"),
        ("sm_86", "8.6 8.9", "8.0 A100 9.0"),
        ("sm_87", "8.7", "8.6 8.9 8.8"),
        ("sm_90a", "9.0 9.0a H100 H200", "8.9 10.0 12.0"),
        ("sm_100", "10.0 10.3 B200 B300", "12.0 11.0 9.0"),
        ("sm_103a", "10.3", "10.0 12.0"),
        ("sm_120", "12.0 12.1 5090 GB10", "10.0 10.3"),
        ("compute_80", "8.0 8.6 8.7 9.0 12.1", "7.5 T4"),
        ("compute_90a", "9.0", "8.9 10.0 12.0"),
        ("compute_100f", "10.0 10.3", "9.0 11.0 12.0"),
        ("odd_", "", "9.0"),  # from a note in a registry
    ],
)
def test_which_gpus_run_which_code(code, runs, other):
    for gpu in runs.split():
        assert bool(checked(gpu, package("acme", a=code))) is code.startswith("compute"), gpu
    for gpu in other.split():
        assert problem(gpu, package("acme", a=code)).startswith(f"GPU {gpu} (compute capability "), gpu


def test_a_package_without_code():
    torch = package("torch", torch_cuda="sm_80 sm_90 sm_100 compute_100", other="sm_90a")
    assert problem("T4 V100", torch, package("acme", x="")) == (
        "GPU T4 (compute capability 7.5): packages have code only for other GPUs: torch (8.0, 9.0, 9.0a, 10.0, PTX 10.0). "
        "Lock versions or builds of these packages for this GPU, or select another GPU. If the service doesn't load "
        'their libraries, set ignore_libraries = ["other.so", "torch_cuda.so"].\n'
        "GPU V100 (compute capability 7.0): packages have code only for other GPUs: torch (8.0, 9.0, 9.0a, 10.0, PTX "
        "10.0). Lock versions or builds of these packages for this GPU, or select another GPU. If the service doesn't "
        'load their libraries, set ignore_libraries = ["other.so", "torch_cuda.so"].'
    )
    assert checked("T4", torch, ignored=["other.so", "torch_cuda.so"]) == []
    assert checked("9.0", torch) == []
    assert checked("A100", torch) == [
        "GPU A100 (compute capability 8.0): libraries have no code for the GPU: other.so of torch."
    ]


def test_ptx_and_the_driver():
    vision, flash = package("vision", _C="sm_70 compute_50", _D="sm_120"), package("flash", f="compute_80")
    assert checked("5090", vision, flash, cuda=["13.0.48", "12.8", "14.1"]) == [
        "GPU 5090 (compute capability 12.0): libraries have only PTX, which the driver compiles: _C.so of vision; f.so "
        "of flash.",
        "CUDA 12 needs the NVIDIA driver 525 or later.",
        "CUDA 13 needs the NVIDIA driver 580 or later.",
    ]
    assert check([], lambda: pytest.fail("reads nothing"), ["13.0"], (), Remedies()) == []
    versions = cuda_versions(
        {"CUDA_VERSION": "12.4.1"}, ["nvidia_cuda_runtime_cu12-12.8.90-py3-none-x.whl", "a-1-x.whl"]
    )
    assert versions == ("12.4.1", "12.8.90")


def test_nvidia_s_libraries_of_some_features_support_fewer_gpus():
    sparse = package("nvidia-cusparselt-cu12", libcusparseLt="sm_80 sm_90")
    assert checked("T4", sparse, package("torch", a="sm_75")) == [
        "GPU T4 (compute capability 7.5): libraries have no code for the GPU: libcusparseLt.so of nvidia-cusparselt-cu12."
    ]


def test_long_lists_are_shortened():
    [note] = checked("9.0", package("acme", ok="sm_90", **{f"l{number}": "sm_80" for number in range(5)}))
    assert note.endswith(": l0.so, l1.so, l2.so, ... of acme.")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *[("nvidia-tesla-t4", 75), ("nvidia-a100-80gb", 80), ("nvidia-h100-80gb", 90), ("NVIDIA-L40S", 89)],
        *[("nvidia-tesla-k80", 37), ("nvidia-rtx-pro-6000", 120), ("nvidia-h200-141gb", 90), ("nvidia-gb200", 100)],
        *[("9.0a", 90), ("12.0", 120), ("10.0f", 100), ("RTX A6000", 86), ("nvidia-rtx-6000-ada", 89)],
        *[("RTX PRO 6000 Blackwell", 120), ("H800", 90), ("sm_90", 90), ("sm_100a", 100), ("RTX 6000", 0)],
        *[("amd-mi300x", 0), ("", 0), ("9", 0), ("90", 0), ("9.0b", 0), ("٩.0", 0), ("9.0\n", 0)],
    ],
)
def test_names(text, number):
    assert Gpu.find(text) == number
    services = [{"config": {"resources": {"gpu": 1, "gpu_type": text}}}, {"config": None}, {}]
    found, notes = Gpu.of_services({"services": services})
    assert found == ([Gpu(text, number)] if number else [])
    assert [note.partition(". ")[0] for note in notes] == (
        [f"resources.gpu_type: unknown GPU {text!r}"] if text and not number else []
    )


@pytest.mark.parametrize("resources", ["x", 5, ["gpu_type"]])
def test_resources_of_a_foreign_bento_can_be_any_value(resources):
    bento = {"services": [{"config": {"resources": resources}}]}
    assert Gpu.of_services(bento) == ([], [])
    assert not _may_use_gpu(bento)


def test_an_unknown_gpu():
    with pytest.raises(
        BentoError,
        match=r"--gpu: unknown GPU 'H1000'. Specify a compute capability such as 9.0, or one of K80, P100, P4,",
    ):
        Gpu.parse("H1000", "--gpu")


def test_architectures_are_listed_once_in_order():
    assert architectures([["compute_100f", "sm_100"], ["sm_90a", "sm_100", "sm_75"]]) == "7.5, 9.0a, 10.0, PTX 10.0f"
    assert architectures([]) == ""


@pytest.mark.parametrize(
    ("gpu_type", "flag", "status"),
    [("nvidia-l4", (), 0), ("nvidia-tesla-t4", (), 1), ("", (), 0), ("acme-9", (), 0), ("", ("--gpu", "7.5"), 1)],
)
def test_rules_take_the_gpu_from_the_service_and_the_flag(tmp_path, capsys, gpu_type, flag, status):
    resources = {"gpu": 1, **({"gpu_type": gpu_type} if gpu_type else {})}
    (tmp_path / "bento.yaml").write_text(json.dumps({"services": [{"name": "S", "config": {"resources": resources}}]}))
    (tmp_path / "base.json").write_text(json.dumps({"architecture": "amd64", "env": {}}))
    (tmp_path / "libraries").write_text(package("torch", a="sm_80").dumps())
    shared = ["--target", "//:image", "--base", "//base", "--base-config", str(tmp_path / "base.json")]
    checks = ["--bento-yaml", str(tmp_path / "bento.yaml"), "--image", "image", "--output", str(tmp_path / "gpus")]
    assert run(["check_system", *shared, *checks]) == 0
    words = ["--gpus", str(tmp_path / "gpus"), "--libraries", str(tmp_path / "libraries"), "--python-version", "3.12"]
    words += ["--output", str(tmp_path / "checked"), "--wheel", "nvidia_cuda_runtime-13.0.96-py3-none-x.whl"]
    assert run(["check_image", *shared, *words, *flag]) == status
    told = capsys.readouterr().err
    assert ("//:image: resources.gpu_type: unknown GPU 'acme-9'. Whether" in told) is (gpu_type == "acme-9")
    assert ("(compute capability 7.5): packages have code" in told) is bool(status)
    assert ("//:image: CUDA 13 needs the NVIDIA driver 580 or later.\n" in told) is (gpu_type == "nvidia-l4")
