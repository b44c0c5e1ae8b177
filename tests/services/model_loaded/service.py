# service: service
# unknown: service
import bentoml

stored = bentoml.models.get("iris_sk:v3")
at_once = bentoml.sklearn.load_model(stored)


@bentoml.service
class Svc:
    reference = bentoml.models.BentoModel("iris_clf:v1")
    loaded = bentoml.sklearn.load_model("iris_sk:v3")
    again = bentoml.sklearn.load_model(stored)
    @bentoml.api
    def hello(self) -> str:
        return ""
