"""A service that reads its model."""

from pathlib import Path

import bentoml


@bentoml.service
class Weights:
    """Tells what its weights are."""

    model = bentoml.models.BentoModel("plain_weights:latest")

    @bentoml.api
    def read(self) -> list[str]:
        """All of them."""
        return Path(self.model.path_of("weights.txt")).read_text("utf-8").split()
