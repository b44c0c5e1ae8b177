# service: service:Svc
# unknown: service
import bentoml


@bentoml.service(name='appended')
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''


Svc.models.append(bentoml.models.BentoModel('iris_clf:v1'))
