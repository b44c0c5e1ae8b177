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


def check_requirements(
    before: Sequence[Distribution], after: Sequence[Distribution], environment: Mapping[str, str]
) -> list[str]:
    """Return a note on packages that nothing requires anymore. `environment` has the variables of markers.

    Raises BentoError for requirements that the packages before met, and the packages after don't meet.
    """
    old, new = ({*_needs(packages, environment)} for packages in (before, after))
    if broken := sorted(problem for _, problem in new - old if problem):
        remedy = "Add a compatible version, as NAME==VERSION, or build the image again."
        raise BentoError("; ".join(broken), remedy=remedy)
    lost = sorted(({name for name, _ in old} - {name for name, _ in new}) & {each.name for each in after})
    return [f"No package requires {', '.join(lost)} anymore. A new lock can lack it."] if lost else []


def _needs(packages: Sequence[Distribution], environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the name of each required package, and a problem, or "" if the requirement is met."""
    versions = {each.name: each.version for each in packages}
    for each in packages:
        for text in each.requires:
            try:
                need = parse_requirement(text)
                name = normalize_name(need.name)
                if need.marker is None or need.marker.evaluate({**environment}):
                    is_met = name in versions and need.specifier.contains(versions[name], prereleases=True)
                    there = f"has {versions[name]}" if name in versions else "lacks it"
                    yield name, "" if is_met else f"{each.name} {each.version} requires {need}, but the image {there}"
            except ValueError:
                place = f"{each.name} {each.version}"
                raise BentoError(
                    f"{text!r} isn't a requirement", place=place, remedy="Choose another version."
                ) from None
