# service: service:__Iris_SVC
import bentoml


@bentoml.service
class __Iris_SVC:

    @bentoml.api
    def hello(self, name: str = "x") -> str:
        return name
