# service: service:Svc
# unknown: service
import bentoml
import lib.other
import lib.third as t
from lib import fourth


@bentoml.service
class Svc:
    a = bentoml.depends(lib.other.Other)
    b = bentoml.depends(t.Third)
    c = bentoml.depends(fourth.Fourth)
