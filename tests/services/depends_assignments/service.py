# service: service:Svc
# unknown: service
import bentoml


@bentoml.service
class A: ...


@bentoml.service
class B: ...


@bentoml.service
class Svc:
    first, second = bentoml.depends(A), bentoml.depends(B)
    third = fourth = bentoml.depends(A)
    typed: A = bentoml.depends(A)
    only_annotated: B
    gone = bentoml.depends(B)
    del gone
