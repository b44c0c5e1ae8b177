"""A service."""

import bentoml
import library  # noqa: F401


@bentoml.service
class Service:
    """Answers."""

    @bentoml.api
    def answer(self, number: int) -> int:
        """Give it back."""
        return number
