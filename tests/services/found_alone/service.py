# service: service
import bentoml


@bentoml.service
class Found:

    @bentoml.api
    def hello(self, name: str = "x") -> str:
        return name
