# service: service:Front
# unknown: service
import copy

import bentoml


@copy.copy
@bentoml.service(resources={"gpu": 1})
class Engine:
    @bentoml.api
    def run(self, x: int) -> int:
        return x


@bentoml.service
class Front:
    engine = bentoml.depends(Engine)

    @bentoml.api
    def ask(self, x: int) -> int:
        return self.engine.run(x)
