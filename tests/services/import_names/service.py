# service: service:Svc
from bentoml import api as endpoint
from bentoml import depends as needs
from bentoml import service as svc
from bentoml.models import BentoModel as Ref
from other import Other


@svc
class Svc:
    ref = Ref('iris_clf:v1')
    other = needs(Other)

    @endpoint(batchable=True)
    def hello(self, rows: list[int]) -> list[int]:
        return rows
