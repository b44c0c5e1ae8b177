"""The same without."""

import bentoml


@bentoml.service
class Plain:
    """Nothing."""
