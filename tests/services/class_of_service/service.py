# service: service:Svc
# unknown: service
import bentoml


@bentoml.service(name='first')
class First:
    ref = bentoml.models.BentoModel('iris_clf:v1')

    @bentoml.api
    def one(self) -> int:
        return 1


@bentoml.service(name='second')
class Svc(First.inner):
    @bentoml.api
    def two(self) -> int:
        return 2
