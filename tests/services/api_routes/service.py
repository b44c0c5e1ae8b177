# service: service:Svc
# unknown: service
import bentoml


@bentoml.service
class Svc:
    @bentoml.api(route='/v1/predict')
    def b_predict(self, x: int) -> int:
        return x

    @bentoml.api(name='ignored')
    def a_named(self, x: int) -> int:
        return x

    @bentoml.api(route=None)
    async def later(self, x: int = 2) -> int:
        return x

    def helper(self) -> int:
        return 1

    renamed = bentoml.api(helper)
