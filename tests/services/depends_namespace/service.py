# service: service:Svc
import bentoml
from acme.ml.leaf import Leaf


@bentoml.service
class Svc:
    leaf = bentoml.depends(Leaf)
