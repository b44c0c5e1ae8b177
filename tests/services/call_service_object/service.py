# service: service:Svc
# unknown: service
import bentoml


class Plain:
    ref = bentoml.models.BentoModel('iris_clf:v1')

    @bentoml.api
    def hello(self) -> str:
        return ''


Svc = bentoml.Service('direct', config={'workers': 3}, inner=Plain, labels={'a': 'b'})
