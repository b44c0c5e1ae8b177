"""Writes a table."""

from __future__ import annotations

import io

import bentoml
from lib.scaling import scaled
from rich.console import Console


@bentoml.service
class Report:
    """Prints one line for each value."""

    @bentoml.api
    def answer(self, values: list[float]) -> str:
        """Return the scaled values, each on a line."""
        console = Console(file=io.StringIO(), width=40)
        for value in scaled(values):
            console.print(f"[bold]{value}")
        return console.file.getvalue()
