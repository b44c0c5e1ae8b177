"""Draws the plots of README.md and docs/performance.md from the tables of the benchmarks: `python bench/plots.py`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[1]
TABLES = "docs/contributing/benchmarks.md"
WIDTH, LABEL, BAR, GAP = 720, 250, 26, 10
OURS, OTHER = "#3f51b5", "#9fa8da"


class Plot(NamedTuple):
    """Describes a bar chart.

    A bar has a label, a pattern for its value in a table, and whether it is for rules_bento.
    """

    title: str
    unit: str
    bars: tuple[tuple[str, str, bool], ...]


def _weekly(packages: str) -> Plot:
    row = rf"\| {packages}[^|]* \|"
    bars = (
        ("layers of bento image", rf"{row} ([\d,]+) \|", True),
        ("one layer of all packages", rf"{row} [\d,]+ \| ([\d,]+) \|", False),
    )
    return Plot(f"What a server pulls for 16 weekly upgrades: {packages}", "MB", bars)


PLOTS = {
    "change": Plot(
        "One changed line to a finished image, 3 GB model",
        "s",
        (
            ("rules_bento", r"\| 3000 \| ours \| ([\d.]+) ", True),
            ("buildah, everything cached", r"\| 3000 \| ours .*\n\| +\| buildah \| ([\d.]+) ", False),
        ),
    ),
    "layers": Plot(
        "74 wheels to layers, one core",
        "MB/s",
        (
            ("rules_bento, gzip", r"\| ours, gzip \| (\d+) ", True),
            ("uv, tar, gzip -6", r"tar, `gzip -6` \| (\d+) ", False),
            ("rules_bento, zstd", r"\| ours, zstd \| (\d+) ", True),
            ("uv, tar, zstd -3", r"tar, `zstd -3` \| (\d+) ", False),
        ),
    ),
    "caches": Plot(
        "What images of 100 services add to an empty cache",
        "MB",
        (
            ("gzip, recipes (default)", r"\| gzip, recipes .* (\d+) \|\n", True),
            ("gzip, files", r"\| gzip, files .* (\d+) \|\n", False),
            ("zstd, files", r"\| zstd, files .* (\d+) \|\n", False),
        ),
    ),
    "services": Plot(
        "Changed line of one service, by services in the repository",
        "s",
        (
            ("100 services", r"\| a line of a service \| ([\d.]+) ", True),
            ("1,000 services", r"\| a line of a service \| [\d.]+ \| ([\d.]+) ", True),
            ("10,000 services", r"\| a line of a service \| [\d.]+ \| [\d.]+ \(1\) \| ([\d.]+) ", True),
        ),
    ),
}
# Several charts in one picture, each with its own scale.
GROUPS = {"weekly": (_weekly("fastapi, uvicorn, pandas, scikit-learn"), _weekly("torch, transformers"))}


def svg(plots: Sequence[Plot], tables: str) -> str:
    """Return a picture of bar charts."""
    height = sum(40 + len(plot.bars) * (BAR + GAP) for plot in plots)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        '     font-family="system-ui, sans-serif" font-size="14">',
        f'  <rect width="{WIDTH}" height="{height}" fill="#fff" rx="6"/>',
    ]
    top = 0
    for plot in plots:
        lines += chart(plot, tables, top)
        top += 40 + len(plot.bars) * (BAR + GAP)
    return "\n".join([*lines, "</svg>", ""])


def chart(plot: Plot, tables: str, top: int) -> list[str]:
    """Return the elements of a bar chart that begins at `top`."""
    values = []
    for _, pattern, _ in plot.bars:
        match = re.search(pattern, tables)
        assert match, f"{TABLES} has no row {pattern}"
        values.append(float(match[1].replace(",", "")))
    scale = (WIDTH - LABEL - 90) / max(values)
    lines = [f'  <text x="12" y="{top + 24}" font-weight="bold" fill="#1a237e">{plot.title}</text>']
    top += 38
    for (label, _, ours), value in zip(plot.bars, values, strict=True):
        width, amount = max(2, round(value * scale)), f"{value:,.0f}" if value >= 100 else f"{value:g}"
        lines += [
            f'  <text x="{LABEL - 10}" y="{top + 18}" text-anchor="end" fill="#333">{label}</text>',
            f'  <rect x="{LABEL}" y="{top}" width="{width}" height="{BAR}" fill="{OURS if ours else OTHER}" rx="3"/>',
            f'  <text x="{LABEL + width + 8}" y="{top + 18}" fill="#333">{amount} {plot.unit}</text>',
        ]
        top += BAR + GAP
    return lines


def drawn(root: Path) -> dict[str, str]:
    """Return the plots by path."""
    tables = (root / TABLES).read_text("utf-8")
    plots = {name: (plot,) for name, plot in PLOTS.items()} | GROUPS
    return {f"docs/pictures/{name}.svg": svg(each, tables) for name, each in plots.items()}


def main() -> None:
    """Write the files."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for path, text in drawn(ROOT).items():
        (ROOT / path).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
