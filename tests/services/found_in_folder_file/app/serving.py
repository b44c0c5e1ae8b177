# service: ./app/serving.py:Svc
import bentoml


@bentoml.service
class Svc:

    @bentoml.api
    def hello(self, name: str = "x") -> str:
        return name
