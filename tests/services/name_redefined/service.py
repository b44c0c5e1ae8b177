# service: service:Svc
# unknown: service
import bentoml
NAME = "first"
NAME = "second"


@bentoml.service(name=NAME)
class Svc:

    @bentoml.api
    def hello(self, name: str = "x") -> str:
        return name


NAME = "third"
