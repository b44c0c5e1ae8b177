"""Greets."""

from __future__ import annotations

import bentoml


@bentoml.service
class Hello:
    """Says hello to whom it is told."""

    @bentoml.api
    def greet(self, name: str) -> str:
        """One greeting."""
        return f"Hello, {name}!"
