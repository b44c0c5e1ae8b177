"""A service."""

import bentoml


@bentoml.service
class Service:
    """It does nothing."""

    @bentoml.api
    def answer(self) -> int:
        """Answer."""
        return 42
