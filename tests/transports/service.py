"""A service."""

import bentoml


@bentoml.service
class Service:
    """Nothing."""
