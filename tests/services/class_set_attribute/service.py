# service: service:Svc
# unknown: service
import bentoml


class Plain:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''


Plain.ref = bentoml.models.BentoModel('iris_clf:v1')
setattr(Plain, 'dep', bentoml.depends(url='http://127.0.0.1:1'))
Svc = bentoml.service(Plain)
Plain.late = bentoml.depends(url='http://127.0.0.1:2')
