"""Computes the cost of 10,000 services from measured figures: `python bench/simulate.py` (docs/contributing/scale.md).

Each commit changes one service, a library, a locked package, or a model. CI then builds all services and their images
with a remote cache that deletes data after some unused days; developers build their services. bench/gate.json contains
the output sizes of the actions of a change, MEASURED contains other measurements, and World contains the assumptions
that can't be measured. Commits are drawn with a fixed seed, so all choices are compared on the same commits, and the
result is the same on every machine.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

GATE = Path(__file__).resolve().parent / "gate.json"
MB, GB, TB = 1e6, 1e9, 1e12
HOUR = 3600.0
LINE, LIBRARY, LOCK, MODEL = (
    "a line of a service",
    "a line of the library",
    "a package of the lock",
    "a byte of a model",
)
WHOLE, WITHOUT, LOCAL = "with models", "without models", "joined anew where they are asked for, and not uploaded"
GROUPS, RECIPES = "large wheels, and groups of small ones", "recipes of large wheels, and groups of small ones"
EACH, ONE = "each wheel", "all wheels"
FRESH, KEPT = "fresh", "kept, with what they have built"
OF_IMAGE = 3  # actions: the layer, the SBOM, and the image


@dataclass(frozen=True)
class Measured:
    """Holds a measured figure and its source."""

    value: float
    unit: str
    where: str


ACTIONS = "docs/contributing/benchmarks.md, actions"
IMAGES = "the image of //tests/images"
LAYERS = "docs/contributing/benchmarks.md, recipes of layers"
MEASURED = {
    "BentoArchive": Measured(0.046, "CPU seconds", ACTIONS),
    "BentoModel": Measured(0.058, "CPU seconds", ACTIONS),
    "BentoPackage": Measured(0.062, "CPU seconds", ACTIONS),
    "an image": Measured(0.128, "CPU seconds", f"{ACTIONS}: BentoImage, BentoLayer, BentoSbom"),
    "in workers": Measured(0.11, "of these", f"{ACTIONS}: the steps of a Bento, 6.9 of 62 ms"),
    "bytes of an image": Measured(53.7e3, "bytes", f"{ACTIONS}: BentoImage, BentoLayer, BentoSbom"),
    "a push": Measured(61e3, "bytes", "docs/contributing/benchmarks.md, a changed line"),
    "a byte of a model": Measured(4.1 / 2000 / MB, "CPU seconds", "benchmarks.md, models: BentoModel"),
    "a byte that is joined": Measured(0.9 / 2000 / MB, "CPU seconds", "benchmarks.md, models: BentoArchive"),
    "an answer": Measured(548, "bytes for each action that is looked up", "the mean of 3,000 results in a disk cache"),
    "analysis": Measured(0.0084, "seconds for each service", "a run of bench/scale.py: 8.4 s for 1,000"),
    "a group": Measured(2.42 * MB, "bytes, the mean of five", IMAGES),
    "a small wheel": Measured(0.17 * MB, "bytes, the mean of 70", IMAGES),
    "a large wheel": Measured(25.5 * MB, "bytes, the mean of five", LAYERS),
    "a recipe": Measured(0.163 * MB, "bytes, the mean of five", LAYERS),
    "all wheels": Measured(69.4 * MB, "bytes of their layers", IMAGES),
}


@dataclass(frozen=True)
class World:
    """Holds the assumptions: the numbers of services and developers, and the changes of commits."""

    services: int = 10_000
    developers: int = 200
    commits_per_hour: int = 50
    hours: int = 8
    days: int = 20
    retention: int = 7
    """Days after which the cache drops what nobody has used."""
    libraries: int = 200
    """Each service uses one."""
    needed_by: int = 10
    """One service of so many needs a package of the lock that changes."""
    closures: int = 200
    """Different sets of packages that services have."""
    large: float = 0.09
    """The share of packages with a large wheel, whose layer all sets share."""
    mix: tuple[tuple[str, float], ...] = ((LINE, 0.93), (LIBRARY, 0.05), (LOCK, 0.01), (MODEL, 0.01))
    models: tuple[tuple[float, float], ...] = ((0.0, 0.90), (100 * MB, 0.09), (2 * GB, 0.01))
    """Bytes of a service's model, and the share of services that have such."""
    edits: int = 10
    """Builds in an hour of a developer, of a line of one service that is the developer's own."""
    seed: int = 19


@dataclass(frozen=True)
class Choice:
    """Holds the choices that users have. The defaults are the defaults of rules_bento."""

    archives: str = WHOLE
    layers: str = GROUPS
    runners: str = FRESH
    workers: bool = False


@dataclass
class Cost:
    """Sums the cost of a number of days: counts, CPU seconds, and bytes."""

    actions: int = 0
    looked_up: int = 0
    cpu: float = 0.0
    analysis: float = 0.0
    uploaded: float = 0.0
    downloaded: float = 0.0
    pushed: float = 0.0
    held: float = 0.0
    """Bytes in the cache at the end."""
    by_change: Counter[str] = field(default_factory=Counter)
    """Bytes that were uploaded."""


class Gate:
    """Provides the processes and bytes of one service by change, from bench/gate.json without the bytes of a model."""

    def __init__(self, counted: dict[str, Any]) -> None:
        """Divide the costs in bench/gate.json by the number of services."""
        self.count: dict[str, int] = {}
        self.written: dict[str, float] = {}
        self.seconds: dict[str, float] = {}
        for change, kinds in counted["changes"].items():
            own = {kind: cost for kind, cost in kinds.items() if change == MODEL or not kind.startswith("BentoModel")}
            of_model = 2 * own["BentoModelPart"]["bytes"] if change == MODEL else 0  # the archive includes the model
            self.count[change] = len(own)
            self.written[change] = sum(cost["bytes"] / cost["actions"] for cost in own.values()) - of_model
            self.seconds[change] = sum(MEASURED[kind].value for kind in own if kind in MEASURED)


@dataclass
class _Service:
    """Holds the cached data of a service: the bytes of its model, and the days on which it was written."""

    model: float
    changed: int = -1
    model_changed: int = -1


class Simulation:
    """Simulates the days of one choice."""

    def __init__(self, world: World, choice: Choice, gate: Gate) -> None:
        """Assign models to services, and start with a cache that was filled before the first day."""
        self._world, self._choice, self._gate = world, choice, gate
        self._share = MEASURED["in workers"].value if choice.workers else 1.0
        self._random = random.Random(world.seed)
        sizes, shares = zip(*world.models, strict=True)
        drawn = self._random.choices(sizes, shares, k=world.services)
        self._services = [_Service(model) for model in drawn]
        self._left: Counter[int] = Counter()  # bytes that were replaced, by the day of their last use
        self.cost = Cost()

    @cached_property
    def _with_models(self) -> list[int]:
        return [number for number, service in enumerate(self._services) if service.model]

    def run(self) -> Cost:
        """Simulate all days, and return the cost."""
        for day in range(self._world.days):
            for _ in range(self._world.commits_per_hour * self._world.hours):
                self._commit(day)
            self._develop(day)
        self.cost.held = self._held()
        return self.cost

    def _commit(self, day: int) -> None:
        changes, shares = zip(*self._world.mix, strict=True)
        [change] = self._random.choices(changes, shares)
        services = self._affected(change)
        before = self.cost.uploaded
        for number in services:
            self._rebuild(change, self._services[number], day)
        if change == LOCK:
            self._lay(services, day)
        self._look_up(len(services), change)
        self.cost.by_change[change] += int(self.cost.uploaded - before)

    def _affected(self, change: str) -> range | list[int]:
        """Return the services that a commit changes."""
        world, draw = self._world, self._random.randrange
        if change == LIBRARY:
            return range(draw(world.libraries), world.services, world.libraries)
        if change == LOCK:
            return range(draw(world.needed_by), world.services, world.needed_by)
        if change == MODEL and self._with_models:
            return [self._random.choice(self._with_models)]
        return [draw(world.services)]

    def _rebuild(self, change: str, service: _Service, day: int) -> None:
        """Run the actions of a service, and replace its data in the cache."""
        cost, choice = self.cost, self._choice
        cost.actions += self._gate.count[change] + OF_IMAGE
        joined = service.model if choice.archives != WITHOUT else 0.0
        cost.cpu += self._seconds(change) + joined * MEASURED["a byte that is joined"].value
        if choice.runners == FRESH and change != MODEL:
            cost.downloaded += joined  # the model's part, which the archive includes
        written = self._gate.written[change] + MEASURED["bytes of an image"].value
        if choice.archives == WHOLE:
            written += service.model
        self._replace(written, service.changed, day)
        service.changed = day
        cost.pushed += MEASURED["a push"].value
        if change == MODEL:
            cost.cpu += service.model * MEASURED["a byte of a model"].value
            cost.pushed += service.model
            self._replace(service.model, service.model_changed, day)
            service.model_changed = day

    def _replace(self, written: float, before: int, day: int) -> None:
        """Upload bytes, and count the replaced bytes, which were written on the day `before`, as outdated."""
        self.cost.uploaded += written
        self._left[self._last_use(before, day)] += int(written)

    def _seconds(self, change: str) -> float:
        """Return the CPU seconds of the actions for a Bento and its image."""
        return (self._gate.seconds[change] + MEASURED["an image"].value) * self._share

    def _lay(self, services: range | list[int], day: int) -> None:
        """Write the layers that contain the package."""
        sets, large = min(self._world.closures, len(services)), self._world.large
        small = {
            GROUPS: (1 - large) * sets * MEASURED["a group"].value,
            EACH: (1 - large) * MEASURED["a small wheel"].value,
            ONE: sets * MEASURED["all wheels"].value,
        }
        small[RECIPES] = small[GROUPS]
        written = small[self._choice.layers]
        self.cost.pushed += written
        if self._choice.layers != ONE:
            written += large * MEASURED["a recipe" if self._choice.layers == RECIPES else "a large wheel"].value
            self.cost.pushed += large * MEASURED["a large wheel"].value
        self.cost.uploaded += written
        self._left[day] += int(written)

    def _last_use(self, written: int, day: int) -> int:
        """Return the day on which an entry was last used. Each new runner requests all entries."""
        return day if self._choice.runners == FRESH else written

    def _look_up(self, services: int, change: str) -> None:
        """Count CI's cache requests: a new runner requests all actions, a persistent runner only those that run."""
        fresh = self._choice.runners == FRESH
        count = self._world.services if fresh else services
        asked = count * (self._gate.count["from nothing" if fresh else change] + OF_IMAGE)
        self.cost.looked_up += asked
        self.cost.downloaded += asked * MEASURED["an answer"].value
        self.cost.analysis += count * MEASURED["analysis"].value

    def _develop(self, day: int) -> None:
        """Count the builds of developers in a day: their own edits, and the changes of commits."""
        world, cost = self._world, self.cost
        edits = world.developers * world.edits * world.hours
        cost.actions += edits * self._gate.count[LINE]
        cost.cpu += edits * self._gate.seconds[LINE] * self._share
        models = sum(service.model for service in self._services) / world.services
        joined = 0.0 if self._choice.archives == WITHOUT else models
        cost.cpu += edits * joined * MEASURED["a byte that is joined"].value
        for service in self._services:  # each has one developer, who builds it again on the day of a change
            if service.changed != day:
                continue
            cost.looked_up += self._gate.count[LINE]
            cost.downloaded += self._gate.written[LINE]
            if self._choice.archives == WHOLE:
                cost.downloaded += service.model
            elif self._choice.archives == LOCAL:
                cost.cpu += service.model * MEASURED["a byte that is joined"].value

    def _held(self) -> float:
        """Return the bytes in the cache at the end: current data, and data that was used within the retention time."""
        world = self._world
        first = world.days - world.retention
        small = self._gate.written["from nothing"] + MEASURED["bytes of an image"].value
        current = 0.0
        for service in self._services:
            if self._last_use(service.changed, world.days) >= first:
                current += small + (service.model if self._choice.archives == WHOLE else 0.0)
            if self._last_use(service.model_changed, world.days) >= first:
                current += service.model
        return current + sum(size for day, size in self._left.items() if day >= first)


CHOICES = {
    "as it is by default": Choice(),
    "Bentos without their models": Choice(archives=WITHOUT),
    "archives that are not uploaded": Choice(archives=LOCAL),
    "layers as recipes": Choice(layers=RECIPES),
    "a layer for each wheel": Choice(layers=EACH),
    "one layer of all wheels": Choice(layers=ONE),
    "runners that keep what they built": Choice(runners=KEPT),
    "the same, in workers": Choice(runners=KEPT, workers=True),
    "the same, without models": Choice(runners=KEPT, workers=True, archives=WITHOUT),
    "the same, and layers as recipes": Choice(runners=KEPT, workers=True, archives=WITHOUT, layers=RECIPES),
}


def rows(world: World, gate: Gate) -> list[str]:
    """Return a row for each choice, with its figures per day."""
    found = [
        "| a day | actions | CPU hours | analysis, hours | looked up | to the cache | from it | held | pushed |",
        "|" + "---|" * 9,
    ]
    for name, choice in CHOICES.items():
        cost = Simulation(world, choice, gate).run()
        cells = (
            f"{cost.actions / world.days:,.0f}",
            f"{cost.cpu / HOUR / world.days:.1f}",
            f"{cost.analysis / HOUR / world.days:.1f}",
            f"{cost.looked_up / world.days / 1e6:.2f} M",
            size(cost.uploaded / world.days),
            size(cost.downloaded / world.days),
            size(cost.held),
            size(cost.pushed / world.days),
        )
        found.append(f"| {name} | {' | '.join(cells)} |")
    return found


def shares(world: World, gate: Gate) -> list[str]:
    """Return a row for each kind of change: the bytes that a commit sends to the cache, with and without models."""
    found = ["| a commit changes | of so many | to the cache in a day | without models |", "|---|---|---|---|"]
    whole, without = (
        Simulation(world, choice, gate).run().by_change for choice in (Choice(), Choice(archives=WITHOUT))
    )
    for change, share in world.mix:
        sent = (size(counted[change] / world.days) for counted in (whole, without))
        found.append(f"| {change} | {share:.0%} | {' | '.join(sent)} |")
    return found


def size(count: float) -> str:
    """Format a number of bytes with a unit."""
    for unit, name in ((TB, "TB"), (GB, "GB"), (MB, "MB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count / 1e3:.1f} kB"


def tables(world: World, gate: Gate) -> str:
    """Return the tables to print."""
    measured = [f"| {name} | {found.value:.3g} {found.unit} | {found.where} |" for name, found in MEASURED.items()]
    assumed = [f"| `{one.name}` | {getattr(world, one.name)} |" for one in fields(world)]
    parts = (
        ["| measured | | where |", "|---|---|---|", *measured],
        ["| assumed | |", "|---|---|", *assumed],
        rows(world, gate),
        shares(world, gate),
    )
    return "\n\n".join("\n".join(part) for part in parts)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(tables(World(), Gate(json.loads(GATE.read_text("utf-8")))))
