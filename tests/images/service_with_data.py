"""A service beside data."""

import bentoml


@bentoml.service
class Service:
    """Nothing."""
