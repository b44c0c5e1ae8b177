# service: service:Svc
# unknown: members
import bentoml
from one import One


@bentoml.service
class Svc:
    one = bentoml.depends(One)
