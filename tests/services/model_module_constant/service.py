# service: service:Svc
# unknown: service
import bentoml
from bentoml.models import BentoModel

REF = BentoModel('iris_clf:v1')


@bentoml.service
class Svc:
    b = REF
    a = REF

    @bentoml.api
    def hello(self) -> str:
        return ''
