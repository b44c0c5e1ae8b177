# service: service:Svc
import bentoml


@bentoml.service(name="iris_svc")
class Svc:

    @bentoml.api
    def hello(self, name: str = "x") -> str:
        return name
