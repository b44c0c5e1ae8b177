# service: service:Svc
import bentoml


@bentoml.service(name="Mixed.Case_Name")
class Svc:

    @bentoml.api
    def hello(self, name: str = "x") -> str:
        return name
