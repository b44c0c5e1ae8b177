# service: service:Svc
# unknown: service
import bentoml
from one import One


@bentoml.service
class Svc:
    one = bentoml.depends(One)
