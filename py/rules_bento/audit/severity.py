"""Rates vulnerabilities by severity, from the CVSS 3 base score."""

from __future__ import annotations

import math
import re

RATINGS = ("none", "low", "medium", "high", "critical")
"""The ratings of CVSS 3.1, section 5, in ascending order."""

_WORDS = {rating: rating for rating in RATINGS} | {"moderate": "medium", "important": "high"}
_VECTOR = re.compile(r"CVSS:3\.([01])((?:/[A-Z]{1,3}:[A-Z])+)/?")
_WEIGHTS = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "PR": {"N": 0.85, "L": 0.62, "H": 0.27},
    "UI": {"N": 0.85, "R": 0.62},
    "S": {"U": 0.0, "C": 1.0},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
_CHANGED_SCOPE_PRIVILEGES = {"N": 0.85, "L": 0.68, "H": 0.5}


def from_word(word: str) -> str:
    """Return the rating for a database's word; empty for an unsupported one."""
    return _WORDS.get(word.strip().lower(), "")


def from_vector(vector: str) -> str:
    """Return the rating of a CVSS 3.0 or 3.1 vector by its base metrics; empty for another string."""
    score = base_score(vector)
    if score is None:
        return ""
    return RATINGS[sum(score >= least for least in (0.1, 4.0, 7.0, 9.0))]


def base_score(vector: str) -> float | None:
    """Return the base score (CVSS 3.1, section 7.1); None for an incomplete or invalid vector."""
    match = _VECTOR.fullmatch(vector.strip())
    pairs = [pair.split(":") for pair in match[2][1:].split("/")] if match else []
    metrics: dict[str, str] = {}
    for name, value in pairs:
        if metrics.setdefault(name, value) != value:
            return None
    if not match:
        return None
    if any(metrics.get(name) not in weights for name, weights in _WEIGHTS.items()):
        return None
    weight = {name: weights[metrics[name]] for name, weights in _WEIGHTS.items()}
    changed = metrics["S"] == "C"
    if changed:
        weight["PR"] = _CHANGED_SCOPE_PRIVILEGES[metrics["PR"]]
    base = 1 - (1 - weight["C"]) * (1 - weight["I"]) * (1 - weight["A"])
    impact = 7.52 * (base - 0.029) - 3.25 * (base - 0.02) ** 15 if changed else 6.42 * base
    if impact <= 0:
        return 0.0
    exploitability = 8.22 * weight["AV"] * weight["AC"] * weight["PR"] * weight["UI"]
    total = min(1.08 * (impact + exploitability) if changed else impact + exploitability, 10)
    return math.ceil(total * 10) / 10 if match[1] == "0" else _round_up(total)


def highest(ratings: list[str]) -> str:
    """Return the highest of ratings; empty if there is none."""
    return max(filter(None, ratings), key=RATINGS.index, default="")


def _round_up(value: float) -> float:
    """Round up to one decimal, without floating-point errors (CVSS 3.1, appendix A)."""
    whole = round(value * 100_000)
    return whole / 100_000 if whole % 10_000 == 0 else (whole // 10_000 + 1) / 10
