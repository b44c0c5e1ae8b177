"""Greets."""

from __future__ import annotations

import bentoml


@bentoml.service
class Hello:
    """Greets people by name."""

    @bentoml.api
    def greet(self, name: str) -> str:
        """Return a greeting."""
        return f"Hello, {name}!"
