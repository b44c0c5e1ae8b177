# service: service:Svc
# unknown: service
import bentoml


class Base:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''


Svc = bentoml.service(name='typed')(type('Made', (Base,), {'ref': bentoml.models.BentoModel('iris_clf:v1')}))
