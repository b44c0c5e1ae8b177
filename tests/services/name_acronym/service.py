# service: service:HTTPModelServerV2
import bentoml


@bentoml.service
class HTTPModelServerV2:

    @bentoml.api
    def hello(self, name: str = "x") -> str:
        return name
