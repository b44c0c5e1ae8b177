"""A service over the wheel."""

import bentoml
from acme_scaling import scaled


@bentoml.service
class Service:
    """Scales."""

    @bentoml.api
    def scale(self, value: float) -> float:
        """Half of it."""
        return scaled(value)
