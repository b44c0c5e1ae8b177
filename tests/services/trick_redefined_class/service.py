# service: service:Svc
# unknown: service
import bentoml


@bentoml.service(name='first')
class Svc:
    ref = bentoml.models.BentoModel('iris_clf:v1')


First = Svc


@bentoml.service(name='second')
class Svc:
    first = bentoml.depends(First)

    @bentoml.api
    def hello(self) -> str:
        return ''
