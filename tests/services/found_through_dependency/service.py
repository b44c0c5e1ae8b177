# service: service:Top.mid.leaf
# unknown: service
import bentoml


@bentoml.service(name='leaf', labels={'who': 'leaf'})
class Leaf:
    @bentoml.api
    def leaf(self) -> int:
        return 1


@bentoml.service(name='middle')
class Middle:
    leaf = bentoml.depends(Leaf)


@bentoml.service(name='top')
class Top:
    mid = bentoml.depends(Middle)
