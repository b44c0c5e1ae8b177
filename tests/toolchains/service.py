"""A service without packages."""

import bentoml


@bentoml.service
class Service:
    @bentoml.api
    def name(self) -> str:
        return "x"
