# service: service:Svc
import bentoml
from bentoml.models import BentoModel

AT_MODULE = BentoModel('iris_clf:v1')


@bentoml.service
class Svc:
    table = {'a': BentoModel('iris_clf:v1')}
    several = [BentoModel('scaler:v2')]

    def __init__(self) -> None:
        self.ref = BentoModel('scaler:v2')

    @bentoml.api
    def hello(self) -> str:
        return ''
