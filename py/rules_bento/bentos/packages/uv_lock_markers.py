"""Formats the condition of a locked package as a marker, as uv does in `uv export`."""

from __future__ import annotations

import re

from rules_bento.base.typing_lite import Any, Iterable

Atom = tuple[str, str, str]
Cut = tuple[tuple[int, ...], int]  # a version, and whether the cut is after the version
Span = tuple[Cut, Cut]

_PYTHON = "python_full_version"
_START: Cut = ((), 0)
_END: Cut = ((1 << 62,), 0)
_ALWAYS: tuple[Span, ...] = ((_START, _END),)
_OPPOSITE = {"==": "!=", "!=": "==", "in": "not in", "not in": "in"}
_SYSTEMS = {"Windows": "win32", "Darwin": "darwin", "Linux": "linux", "AIX": "aix"}
_SYSTEMS |= {"Emscripten": "emscripten", "Android": "android"}
_EXCLUDED = [
    {("os_name", f"'{name}'"), ("sys_platform", f"'{system}'")}
    for name, system in (("nt", "linux"), ("nt", "darwin"), ("nt", "ios"), ("posix", "win32"))
]
# uv's order of variables, which decides the order of clauses with the same variables.
_ORDER = ("os_name", "sys_platform", "platform_system", "platform_machine", "platform_python_implementation")


def format_condition(condition: Iterable[frozenset[Atom]]) -> str:
    """Return a condition as a marker. Ranges of Python versions are merged, and redundant clauses omitted."""
    clauses = _ranges(condition)
    _simplify(clauses, {atom for clause in condition for atom in clause})
    found = [texts for _, texts in sorted(entry for each in clauses.items() for entry in _clause_texts(*each))]
    if not found or not all(found):
        return ""
    common = [text for text in found[0] if len(found) > 1 and all(text in texts for texts in found)]
    rest = [" and ".join(text for text in texts if text not in common) for texts in found]
    rest = [f"({text})" if len(found) > 1 and " and " in text else text for text in rest]
    joined = " or ".join(rest)
    return " and ".join([*common, f"({joined})" if common else joined])


def _ranges(condition: Iterable[frozenset[Atom]]) -> dict[frozenset[Atom], tuple[Span, ...]]:
    """Return the ranges of Python versions for which a condition can be true, by the other atoms of its clauses."""
    clauses: dict[frozenset[Atom], tuple[Span, ...]] = {}
    for clause in condition:
        key = frozenset(atom for atom in clause if not is_range(atom))
        spans = _ALWAYS
        for atom in clause - key:
            spans = _intersection(spans, _spans(atom))
        if spans and not any(_excludes(one, other) for one in key for other in key):
            clauses[key] = _union([*clauses.get(key, ()), *spans])
    return clauses


def _excludes(one: Atom, other: Atom) -> bool:
    """Return whether two atoms can't both be true."""
    if one[1] != "==" or other[1] != "==":
        return False
    return (one[0] == other[0] and one[2] != other[2]) or {(one[0], one[2]), (other[0], other[2])} in _EXCLUDED


def _implied(key: frozenset[Atom], atoms: Iterable[Atom]) -> frozenset[Atom]:
    """Return the atoms of a clause, and the `!=` among `atoms` that they imply."""
    different = [atom for atom in atoms if atom[1] == "!="]
    return key | {atom for atom in different if any(_excludes(each, (atom[0], "==", atom[2])) for each in key)}


def canonical_atom(atom: Atom) -> Atom:
    """Return an atom with the variables and the order of operands that uv writes today."""
    left, operator, right = atom
    if not left.isidentifier() and operator not in ("in", "not in"):
        left, operator, right = right, {"<": ">", ">": "<", "<=": ">=", ">=": "<="}.get(operator, operator), left
    text = right.strip("'\"")
    if left == "python_version" and re.fullmatch(r"[0-9]+(\.[0-9]+)?(\.\*)?", text):
        left, (major, minor) = _PYTHON, (*text.removesuffix(".*").split("."), "0")[:2]
        if operator in ("==", "!="):
            text = f"{major}.{minor}.*"
        elif operator in (">", "<="):
            operator, text = {">": ">=", "<=": "<"}[operator], f"{major}.{int(minor) + 1}"
    elif left == "platform_system" and text in _SYSTEMS and operator in ("==", "!="):
        left, text = "sys_platform", _SYSTEMS[text]
    return (left, operator, f"'{text}'") if left.isidentifier() else (left, operator, right)


def _simplify(clauses: dict[frozenset[Atom], tuple[Span, ...]], atoms: Iterable[Atom]) -> None:
    """Remove atoms and clauses that other clauses make redundant."""
    is_changed = True
    while is_changed:
        is_changed = False
        for key in sorted(clauses, key=sorted):
            spans = clauses.pop(key)
            is_changed = _is_covered(clauses, _implied(key, atoms), spans)
            for atom in () if is_changed else sorted(key):
                rest = key - {atom}
                opposite = _implied(rest | {(atom[0], _OPPOSITE.get(atom[1], ""), atom[2])}, atoms)
                if atom in _implied(rest, atoms) or _is_covered(clauses, opposite, spans):
                    clauses[rest] = _union([*clauses.get(rest, ()), *spans])
                    is_changed = True
                    break
            if is_changed:
                break
            clauses[key] = spans


def _is_covered(
    clauses: dict[frozenset[Atom], tuple[Span, ...]], implied: frozenset[Atom], spans: tuple[Span, ...]
) -> bool:
    """Return whether clauses are true in all ranges `spans` if the atoms `implied` are true."""
    covered = _union(span for key, each in clauses.items() if key <= implied for span in each)
    return _intersection(covered, spans) == spans


def contains(atom: Atom, version: str) -> bool:
    """Return whether a range of Python versions contains a version such as `3.12.0`."""
    cut = (_numbers(version), 0)
    return any(start <= cut < end for start, end in _spans(atom))


def is_range(atom: Atom) -> bool:
    """Return whether an atom is a range of full Python versions."""
    return (
        atom[0] == _PYTHON
        and re.fullmatch(r"'[0-9.]+(\.\*)?'", atom[2]) is not None
        and atom[1] not in ("in", "not in")
    )


def _spans(atom: Atom) -> tuple[Span, ...]:
    _, operator, quoted = atom
    text = quoted.strip("'")
    version = _numbers(text.removesuffix(".*"))
    if text.endswith(".*"):
        parts = tuple(int(part) for part in text.removesuffix(".*").split("."))
        inner: tuple[Span, ...] = (((version, 0), (_trimmed((*parts[:-1], parts[-1] + 1)), 0)),)
    else:
        inner = (((version, 0), (version, 1)),)
    return {
        "==": inner,
        "!=": _complement(inner),
        "<": ((_START, (version, 0)),),
        "<=": ((_START, (version, 1)),),
        ">": (((version, 1), _END),),
        ">=": (((version, 0), _END),),
    }[operator]


def _numbers(text: str) -> tuple[int, ...]:
    return _trimmed(tuple(int(part) for part in text.split(".")))


def _trimmed(numbers: tuple[int, ...]) -> tuple[int, ...]:
    while numbers and not numbers[-1]:
        numbers = numbers[:-1]
    return numbers


def _union(spans: Iterable[Span]) -> tuple[Span, ...]:
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return tuple(result)


def _intersection(one: Iterable[Span], other: Iterable[Span]) -> tuple[Span, ...]:
    pairs = ((max(a[0], b[0]), min(a[1], b[1])) for a in one for b in other)
    return tuple(sorted(span for span in pairs if span[0] < span[1]))


def _complement(spans: Iterable[Span]) -> tuple[Span, ...]:
    cuts = [_START, *(cut for span in spans for cut in span), _END]
    pairs = zip(cuts[::2], cuts[1::2], strict=True)
    return tuple(span for span in pairs if span[0] < span[1])


def _clause_texts(key: frozenset[Atom], spans: tuple[Span, ...]) -> list[tuple[Any, list[str]]]:
    """Return the clauses of a key and its ranges, each with a key for sorting."""
    others = sorted(key, key=lambda atom: (atom[0] if atom[0].isidentifier() else atom[2], atom[2]))
    texts = [" ".join(atom) for atom in others]
    kinds = tuple(atom[0] if atom[0].isidentifier() else atom[2] for atom in others)
    values = tuple(sorted((_rank(kind), atom[2]) for kind, atom in zip(kinds, others, strict=True)))
    result: list[tuple[Any, list[str]]] = []
    for number, atoms in enumerate(_range_texts(spans)):
        python = tuple("" for _ in atoms)  # versions are before other variables
        result.append((((*python, *kinds), values, number), [*atoms, *texts]))
    return result


def _rank(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _range_texts(spans: tuple[Span, ...]) -> list[list[str]]:
    """Return the alternatives of a union of ranges, each as atoms."""
    if spans == _ALWAYS:
        return [[]]
    gaps = _complement(spans)
    if spans[0][0] == _START and spans[-1][1] == _END:
        if all(start == (end[0], 0) and end[1] for start, end in gaps):
            return [[_atom("!=", start[0]) for start, _ in gaps]]
        if len(gaps) == 1 and (star := _star(*gaps[0])):
            return [[f"{_PYTHON} != '{star}'"]]
    found = []
    for start, end in spans:
        if star := _star(start, end):
            found.append([f"{_PYTHON} == '{star}'"])
        elif start[0] == end[0]:
            found.append([_atom("==", start[0])])
        else:
            lower = [] if start == _START else [_atom(">" if start[1] else ">=", start[0])]
            found.append([*lower, *([] if end == _END else [_atom("<=" if end[1] else "<", end[0])])])
    return found


def _star(start: Cut, end: Cut) -> str:
    """Return the pattern of a range such as 3.11 to 3.12, `3.11.*`, or an empty string."""
    if start == _START or end == _END or start[1] or end[1]:
        return ""
    one, other = ((*cut[0], 0)[: max(2, len(cut[0]))] for cut in (start, end))
    is_next = len(one) == len(other) == 2 and one[0] == other[0] and one[1] + 1 == other[1]
    return f"{one[0]}.{one[1]}.*" if is_next else ""


def _atom(operator: str, version: tuple[int, ...]) -> str:
    return f"{_PYTHON} {operator} '{'.'.join(map(str, version if len(version) > 1 else (*version, 0)))}'"
