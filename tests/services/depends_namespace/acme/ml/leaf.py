import bentoml


@bentoml.service
class Leaf:
    @bentoml.api
    def go_leaf(self) -> int:
        return 1
