# service: service:Svc
import bentoml
NAME = "from_constant"


@bentoml.service(name=NAME)
class Svc:

    @bentoml.api
    def hello(self, name: str = "x") -> str:
        return name
