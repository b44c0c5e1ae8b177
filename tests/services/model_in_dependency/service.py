# service: service:Svc
import bentoml
from bentoml.models import BentoModel


@bentoml.service
class Embed:
    ref = BentoModel('scaler:v2')


@bentoml.service
class Svc:
    embed = bentoml.depends(Embed)
    ref = BentoModel('iris_clf:v1')
