"""A service that uses an installed package."""

import bentoml
import greeting as greeting


@bentoml.service
class Service:
    """Does nothing."""
