"""Checks whether packages have code for the GPUs of an image's hosts, as NVIDIA's CUDA Programming Guide defines it.

Machine code runs on GPUs with the same major and an equal or later minor compute capability, and PTX on all later GPUs.
With the suffix `a`, code runs only on GPUs with its compute capability; with `f`, PTX runs as machine code does.
"""

from __future__ import annotations

import re

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Collection, Iterable, Sequence
from rules_bento.images.validation.bento_requirements import service_resources

if TYPE_CHECKING:
    from rules_bento.images.validation.remedies import Remedies
    from rules_bento.images.wheels.libraries import Libraries

# Ten times the compute capability, and names of GPUs (https://developer.nvidia.com/cuda-gpus).
_NAMES = {
    37: "K80", 60: "P100", 61: "P4 P40", 70: "V100", 75: "T4", 80: "A30 A100 A800",
    86: "A2 A10 A10G A16 A40 A4000 A4500 A5000 A6000 3060 3070 3080 3090",
    89: "L4 L40 L40S RTX-6000-Ada 4060 4070 4080 4090", 90: "H20 H100 H200 H800 GH200", 100: "B100 B200 GB200",
    103: "B300 GB300", 120: "5060 5070 5080 5090 RTX-PRO-6000", 121: "GB10",
}  # fmt: skip
_BY_NAME = {name.lower(): number for number, names in _NAMES.items() for name in names.split()}
_CODE = re.compile(r"(sm|compute)_(\d{2,3})([af]?)")
_EMBEDDED = {53, 62, 72, 87}  # Jetson: machine code runs only on GPUs with this compute capability
_DRIVERS = {"11": 450, "12": 525, "13": 580}  # by major version of CUDA (CUDA Compatibility, table 1)
_PTX, _MACHINE_CODE = 1, 2
_PARTIAL = "nvidia-"  # NVIDIA's libraries for some features, such as cuSPARSELt, support fewer GPUs than torch
_MAX_LISTED = 3


class Gpu(NamedTuple):
    """A GPU that an image's hosts have."""

    name: str
    number: int  # ten times the compute capability

    @staticmethod
    def find(text: str) -> int:
        """Return ten times the compute capability of a GPU (`9.0`, `H100`, `nvidia-tesla-t4`), or 0 if it's unknown."""
        if version := re.fullmatch(r"(?:([5-9]|[1-9]\d)\.|sm_([5-9]|[1-9]\d))(\d)[af]?", text):
            return int((version[1] or version[2]) + version[3])
        words = f"-{re.sub('[_ ]', '-', text.lower())}-"
        return next((number for name, number in _BY_NAME.items() if f"-{name}-" in words), 0)

    @staticmethod
    def parse(text: str, place: str) -> Gpu:
        """Return the GPU with a name or compute capability. Raises BentoError for an unknown GPU."""
        if number := Gpu.find(text):
            return Gpu(text, number)
        names = ", ".join(name for names in _NAMES.values() for name in names.split())
        remedy = f"Specify a compute capability such as 9.0, or one of {names}."
        raise BentoError(f"unknown GPU {text!r}", place=place, remedy=remedy)

    @staticmethod
    def of_services(bento: dict[str, Any]) -> tuple[list[Gpu], list[str]]:
        """Return the GPUs in `resources.gpu_type` of a bento.yaml's services, and a note if some are unknown."""
        types = {str(each.get("gpu_type") or "") for each in service_resources(bento)}
        unknown = ", ".join(repr(text) for text in sorted(types) if text and not Gpu.find(text))
        note = (
            f"resources.gpu_type: unknown GPU {unknown}. Whether packages have code for it isn't checked. For a GPU of "
            "NVIDIA, run `bento image` with its compute capability, such as --gpu 9.0."
        )
        gpus = [Gpu(text, number) for text in sorted(types) if (number := Gpu.find(text))]
        return gpus, [note] if unknown else []

    def support(self, code: str) -> int:
        """Return `_MACHINE_CODE`, `_PTX`, or 0 if the GPU doesn't run the code, such as `sm_80` or `compute_80`."""
        match = _CODE.fullmatch(code)
        number = int(match[2]) if match else 0
        is_ptx = bool(match and match[1] == "compute")
        if not match or match[3] == "a" or (not is_ptx and {number, self.number} & _EMBEDDED):
            runs = number == self.number
        else:
            is_family = number // 10 == self.number // 10
            runs = number <= self.number and (is_family or (is_ptx and not match[3]))
        return runs and (_PTX if is_ptx else _MACHINE_CODE)

    def __str__(self) -> str:
        return f"GPU {self.name} (compute capability {self.number // 10}.{self.number % 10})"


def check(
    gpus: Sequence[Gpu],
    packages: Callable[[], Sequence[Libraries]],
    cuda: Iterable[str],
    ignored: Collection[str],
    remedies: Remedies,
) -> list[str]:
    """Raise BentoError if one of `packages` has code only for other GPUs than one of `gpus`.

    `cuda` contains versions, and `ignored` names of libraries. Returns notes about libraries without code for a GPU,
    about PTX, and about the driver.
    """
    notes: list[str] = []
    problems: list[str] = []
    read = packages() if gpus else ()
    for gpu in gpus:
        without: dict[str, dict[str, tuple[str, ...]]] = {}
        clauses: dict[str, list[str]] = {"no code for the GPU": [], "only PTX, which the driver compiles": []}
        for package in read:
            code = {name: codes for name, codes in gpu_code(package).items() if name not in ignored}
            levels = {name: max(map(gpu.support, codes)) for name, codes in code.items()}
            if code and not any(levels.values()) and not package.distribution.startswith(_PARTIAL):
                without[package.distribution] = code
                continue
            for level, listed in enumerate(clauses.values()):
                if some := [name for name in code if levels[name] == level]:
                    rest = ", ..." if len(some) > _MAX_LISTED else ""
                    listed.append(f"{', '.join(some[:_MAX_LISTED])}{rest} of {package.distribution}")
        notes += [f"{gpu}: libraries have {clause}: {'; '.join(each)}." for clause, each in clauses.items() if each]
        if without:
            listed = [f"{name} ({architectures(code.values())})" for name, code in without.items()]
            problems.append(
                f"{gpu}: packages have code only for other GPUs: {', '.join(listed)}. Lock versions or builds of these "
                "packages for this GPU, or select another GPU. If the service doesn't load their libraries, "
                f"{remedies.ignore_libraries({name for code in without.values() for name in code})}."
            )
    if problems:
        raise BentoError("\n".join(problems))
    majors = {version.partition(".")[0] for version in cuda} & _DRIVERS.keys() if gpus else ()
    return [*notes, *(f"CUDA {major} needs the NVIDIA driver {_DRIVERS[major]} or later." for major in sorted(majors))]


def gpu_code(package: Libraries) -> dict[str, tuple[str, ...]]:
    """Return the architectures of the libraries of a package with code for GPUs, by file name."""
    return {path.rpartition("/")[2]: elf.gpu_code for path, elf in package.linked if elf.gpu_code}


def architectures(codes: Iterable[Iterable[str]]) -> str:
    """Return the compute capabilities of code, such as `8.0, 9.0a, PTX 9.0`, or an empty string."""
    found = {code.partition("_")[::2] for each in codes for code in each}
    ordered = sorted((kind == "compute", len(text.rstrip("af")), text) for kind, text in found)
    return ", ".join(("PTX " if is_ptx else "") + re.sub(r"(\d[af]?)$", r".\1", text) for is_ptx, _, text in ordered)
