"""Checks the requirements of packages before some of them are replaced. Extras are unknown, and don't count."""

from __future__ import annotations

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Iterator, Mapping, Sequence
from rules_bento.bentos.packages.requirement_syntax import normalize_name, parse_requirement


class Distribution(NamedTuple):
    """A package of an image."""

    name: str  # normalized
    version: str
    requires: tuple[str, ...]  # Requires-Dist


def check(before: Sequence[Distribution], after: Sequence[Distribution], environment: Mapping[str, str]) -> list[str]:
    """Return a note on packages that nothing requires anymore. `environment` has the variables of markers.

    Raises BentoError for requirements that the packages before met, and the packages after don't meet.
    """
    needed, old = _judge(before, environment)
    still, new = _judge(after, environment)
    if broken := sorted(new - old):
        remedy = "Add a compatible version, as NAME==VERSION, or build the image again."
        raise BentoError("; ".join(broken), remedy=remedy)
    lost = sorted((needed - still) & {each.name for each in after})
    return [f"No package requires {', '.join(lost)} anymore. A new lock can lack it."] if lost else []


def _judge(packages: Sequence[Distribution], environment: Mapping[str, str]) -> tuple[set[str], set[str]]:
    """Return the names that packages require, and the requirements that aren't met."""
    versions = {each.name: each.version for each in packages}
    names, problems = set(), set()
    for each in packages:
        for need, name, is_met in _needs(each, versions, environment):
            names.add(name)
            if not is_met:
                problem = f"has {versions[name]}" if name in versions else "lacks it"
                problems.add(f"{each.name} {each.version} requires {need}, but the image {problem}")
    return names, problems


def _needs(
    package: Distribution, versions: Mapping[str, str], environment: Mapping[str, str]
) -> Iterator[tuple[str, str, bool]]:
    """Yield each requirement, the required name, and whether it is met."""
    for text in package.requires:
        try:
            need = parse_requirement(text)
            if need.marker is None or need.marker.evaluate({**environment}):
                name = normalize_name(need.name)
                is_met = name in versions and need.specifier.contains(versions[name], prereleases=True)
                yield str(need), name, is_met
        except ValueError:
            place = f"{package.name} {package.version}"
            raise BentoError(f"{text!r} isn't a requirement", place=place, remedy="Choose another version.") from None
