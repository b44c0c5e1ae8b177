"""A service over generated code."""

import bentoml
from schemas import iris_pb2


@bentoml.service
class Service:
    """It knows the name of its schema."""

    @bentoml.api
    def name(self) -> str:
        """Name it."""
        return iris_pb2.NAME
