# service: service:Svc
import bentoml


@bentoml.service
class A: ...


@bentoml.service
class B: ...


@bentoml.service
class C: ...


@bentoml.service
class D: ...


@bentoml.service
class Svc:
    zeta = bentoml.depends(A)
    Zeta = bentoml.depends(B)
    _zeta = bentoml.depends(C)
    alpha = bentoml.depends(D)
