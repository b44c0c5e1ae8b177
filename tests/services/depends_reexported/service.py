# service: service:Svc
# unknown: service
import bentoml
from lib import *
from lib import Second


@bentoml.service(name=NAME)
class Svc:
    first = bentoml.depends(First)
    second = bentoml.depends(Second)
