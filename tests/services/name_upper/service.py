# service: service:IRIS
import bentoml


@bentoml.service
class IRIS:

    @bentoml.api
    def hello(self, name: str = "x") -> str:
        return name
