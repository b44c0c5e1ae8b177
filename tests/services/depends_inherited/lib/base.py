import bentoml


@bentoml.service
class Leaf: ...


class Grand:
    ref = bentoml.models.BentoModel('iris_clf:v1')

    @bentoml.api
    def grand(self) -> int:
        return 1


class Base(Grand):
    leaf = bentoml.depends(Leaf)
    unused = bentoml.depends(url='http://127.0.0.1:1')

    @bentoml.task
    def work(self) -> int:
        return 1
