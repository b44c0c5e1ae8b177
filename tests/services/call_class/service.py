# service: service:Svc
# unknown: service
import bentoml


class Plain:
    ref = bentoml.models.BentoModel('iris_clf:v1')

    @bentoml.api
    def hello(self) -> str:
        return ''


Svc = bentoml.service(Plain)
