"""Converts `resources` of a service to requests and limits of a container.

In BentoML, a number means cores for CPUs and GiB for memory; strings have units of Kubernetes.
"""

from __future__ import annotations

import re
from decimal import Decimal

from rules_bento.errors import BentoError
from rules_bento.typing_lite import Any

_CPU = re.compile(r"[0-9]+m|[0-9]+(\.[0-9]{1,3})?")
_MEMORY = re.compile(r"[0-9]+(\.[0-9]+)?([KMGTPE]i|[kMGTPE])")
_KNOWN = frozenset(["cpu", "memory", "gpu", "gpu_type"])
_BINARY = {"Gi": 1 << 30, "Mi": 1 << 20}


def quantities(resources: dict[str, Any], where: str) -> dict[str, str]:
    """Return the quantities that a service requests, by Kubernetes' names.

    `where` names the service in messages. Raises BentoError for resources that Kubernetes cannot provide: fractions of
    a GPU, TPUs, and strings without a unit.
    """
    if unknown := sorted(set(resources) - _KNOWN):
        raise BentoError(
            f"{where}: resources.{unknown[0]} has no counterpart in all clusters. Remove it from the service, "
            "and add your cluster's resource to the manifest with a patch."
        )
    amounts = {}
    if "cpu" in resources:
        amounts["cpu"] = _cpu(resources["cpu"], where)
    if "memory" in resources:
        amounts["memory"] = _memory(resources["memory"], where)
    if "gpu" in resources:
        vendor = "amd.com/gpu" if str(resources.get("gpu_type", "")).startswith("amd-") else "nvidia.com/gpu"
        amounts[vendor] = _gpus(resources["gpu"], where)
    elif "gpu_type" in resources:
        raise BentoError(f"{where}: resources.gpu_type requires a number of GPUs. Set resources.gpu.")
    return amounts


def _cpu(value: object, where: str) -> str:
    if isinstance(value, str) and _CPU.fullmatch(value) and value.strip("0.m"):
        return value
    number = _number(value)
    if number is None or number * 1000 % 1:
        raise BentoError(
            f"{where}: invalid resources.cpu {value!r}. Use a number of cores, or thousandths of a core such as '500m'."
        )
    return str(int(number)) if not number % 1 else f"{int(number * 1000)}m"


def _memory(value: object, where: str) -> str:
    if isinstance(value, str) and _MEMORY.fullmatch(value) and value.rstrip("KMGTPEik").strip("0."):
        return value
    number = _number(value)
    if number is None:
        raise BentoError(
            f"{where}: invalid resources.memory {value!r}. Use a number of GiB, or a string with a unit such as "
            "'512Mi' or '2Gi'."
        )
    size = number * (1 << 30)
    for unit, factor in _BINARY.items():
        if not size % factor:
            return f"{int(size / factor)}{unit}"
    return str(int(size))


def _gpus(value: object, where: str) -> str:
    number = _number(value)
    if number is None or number % 1:
        raise BentoError(
            f"{where}: resources.gpu is {value!r}, but clusters allocate whole GPUs. Set 1, or remove it from the "
            "service and add your cluster's resource for shared GPUs to the manifest with a patch."
        )
    return str(int(number))


def _number(value: object) -> Decimal | None:
    """Return a positive number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    number = Decimal(str(value))
    return number if number.is_finite() and number > 0 else None
