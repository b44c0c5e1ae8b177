# service: service:Svc
# unknown: service
import bentoml


@bentoml.service
class A: ...


@bentoml.service
class B: ...


class Root:
    dep = bentoml.depends(A)
    root = bentoml.depends(A)


class Left(Root):
    pass


class Right(Root):
    dep = bentoml.depends(B)

    @bentoml.api
    def right(self) -> int:
        return 1


@bentoml.service
class Svc(Left, Right):
    right_api = Right.right
