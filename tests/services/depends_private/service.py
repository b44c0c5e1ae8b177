# service: service:Svc
# unknown: service
import bentoml


@bentoml.service
class Leaf: ...


@bentoml.service
class Other: ...


@bentoml.service
class Svc:
    __leaf = bentoml.depends(Leaf)
    Zed = bentoml.depends(Other)
