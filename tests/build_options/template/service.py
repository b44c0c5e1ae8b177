"""A service."""

import bentoml


@bentoml.service
class Templated:
    """Nothing."""
