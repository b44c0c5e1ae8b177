"""Renders a text."""

from __future__ import annotations

import bentoml
import jinja2
from lib.scaling import scaled


@bentoml.service
class Render:
    """Renders one template."""

    @bentoml.api
    def answer(self, values: list[float]) -> str:
        """Return the scaled values in a row."""
        return jinja2.Template("{{ values | join(' ') }}").render(values=scaled(values))
