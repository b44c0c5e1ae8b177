# service: service:Front
# unknown: service
import bentoml
from wrappers import renamed


@renamed(suffix="Compatible")
@bentoml.service(resources={"gpu": 1}, traffic={"timeout": 30})
class Engine:
    """Runs a model."""

    @bentoml.api
    def run(self, x: int) -> int:
        return x


@bentoml.service
class Front:
    engine = bentoml.depends(Engine)

    @bentoml.api
    def ask(self, x: int) -> int:
        return self.engine.run(x)
