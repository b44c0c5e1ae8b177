# service: service:Svc
import bentoml


@bentoml.service
class Svc:
    stored = bentoml.models.get("Iris_CLF")
    latest = bentoml.models.BentoModel("IRIS_clf:latest")

    @bentoml.api
    def hello(self) -> str:
        return "hello"
