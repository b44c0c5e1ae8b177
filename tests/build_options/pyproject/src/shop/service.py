"""A service below src/."""

import bentoml


@bentoml.service
class Shop:
    """Nothing."""
