# service: service:Svc
import bentoml


@bentoml.service
class Leaf: ...


@bentoml.service
class Svc:
    one = bentoml.depends(Leaf)
    two = bentoml.depends(Leaf)
