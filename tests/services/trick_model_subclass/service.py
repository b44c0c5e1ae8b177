# service: service:Svc
# unknown: service
import bentoml
from bentoml.models import BentoModel


class Pinned(BentoModel):
    def __init__(self, name):
        super().__init__(name + ':v1')


@bentoml.service
class Svc:
    a = Pinned('iris_clf')

    @bentoml.api
    def hello(self) -> str:
        return ''
