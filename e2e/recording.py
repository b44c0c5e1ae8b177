"""Runs `bazel coverage` of services, and checks the output of a failing service test."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench import Checkout, Workbench

TEST = "//examples/studio:studio_test"
SERVICE = "examples/studio/service.py"
# Bazel's own tool merges reports, only with --combined_report=lcov, and would be downloaded.
MERGER = "--coverage_report_generator=//tools:bento"


def coverage_reaches_into_servers(bench: Workbench) -> str:
    """Check that coverage includes the server processes of both services, with paths relative to the workspace."""
    checkout = bench.plain
    checkout.edit(SERVICE, "    @bentoml.task\n", "    def idle(self) -> None:\n        return\n\n    @bentoml.task\n")
    checkout.bazel("coverage", MERGER, TEST).succeeded()
    lines = recorded(checkout)
    assert set(lines) == {SERVICE, "examples/studio/gallery.py"}, sorted(lines)
    text = checkout.read(SERVICE).splitlines()
    for code in ("return len(self.drawings)", "self.classifier)", "return self.archive.nearest("):
        [number] = [at for at, line in enumerate(text, 1) if code in line]
        assert lines[SERVICE][number], f"{SERVICE}:{number} ran, but isn't recorded"
    ran = sum(map(bool, lines[SERVICE].values()))
    [idle] = [number for number, count in lines[SERVICE].items() if not count]
    assert text[idle - 2].strip() == "def idle(self) -> None:", "the report must contain the line that never ran"
    a_failing_test_shows_the_log(checkout)
    return f"{ran} lines of two services"


def recorded(checkout: Checkout) -> dict[str, dict[int, int]]:
    """Return the number of executions of each line of each file in all shards."""
    counts: dict[str, dict[int, int]] = {}
    for report in sorted((checkout.root / "bazel-testlogs/examples/studio/studio_test").glob("*/coverage.dat")):
        lines: dict[int, int] = {}
        for line in report.read_text("utf-8").splitlines():
            kind, _, value = line.partition(":")
            if kind == "SF":
                lines = counts.setdefault(value, {})
            elif kind == "DA":
                number, count = map(int, value.split(",")[:2])
                lines[number] = lines.get(number, 0) + count
    return counts


def a_failing_test_shows_the_log(checkout: Checkout) -> None:
    checkout.edit(
        SERVICE,
        "        return [self.words[language]",
        '        raise LookupError("no such word")\n        return [self.words[language]',
    )
    failed = checkout.bazel("coverage", MERGER, TEST)  # as `test` does, without another configuration
    assert failed.code == 3, failed.told()
    told = failed.output + failed.errors
    assert "log of the server" in told, failed.told()
    assert "LookupError: no such word" in told, failed.told()
