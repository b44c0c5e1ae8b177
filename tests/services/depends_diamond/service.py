# service: service:Svc
import bentoml


@bentoml.service
class Base: ...


@bentoml.service
class Right:
    base = bentoml.depends(Base)


@bentoml.service
class Left:
    base = bentoml.depends(Base)
    right = bentoml.depends(Right)


@bentoml.service
class Svc:
    right = bentoml.depends(Right)
    left = bentoml.depends(Left)
    base = bentoml.depends(Base)
