"""A service that says nothing of what it is for."""

import bentoml


@bentoml.service
class Service:
    """Answers."""

    @bentoml.api
    def ping(self) -> str:
        """Return a word."""
        return "pong"
