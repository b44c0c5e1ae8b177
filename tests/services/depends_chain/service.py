# service: service:Svc
import bentoml
from one import One


@bentoml.service
class Svc:
    one = bentoml.depends(One)
