# service: app.web.service:Svc
# unknown: service
import bentoml

from . import near
from ..shared.deep import Deep
from .near import Near


@bentoml.service
class Svc:
    first = bentoml.depends(Near)
    same = bentoml.depends(near.Near)
    deep = bentoml.depends(Deep)
