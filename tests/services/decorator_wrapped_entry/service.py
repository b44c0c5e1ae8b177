# service: service:Engine
# unknown: service
import bentoml
from wrappers import relabelled


@relabelled
@bentoml.service(labels={"a": "b"})
class Engine:
    """Runs a model."""

    @bentoml.api
    def run(self, x: int) -> int:
        return x
