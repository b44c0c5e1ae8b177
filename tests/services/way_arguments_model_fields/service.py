# service: service:Svc
# unknown: config.traffic.timeout, labels.team
import os
from typing import Any

import bentoml
import pydantic


class Given(pydantic.BaseModel):
    """What the command line may give."""

    model_id: str = "org/model"
    timeout: int = pydantic.Field(60, ge=1, description="in seconds")
    team: str = pydantic.Field(default="ml", title="Team")
    task: str = pydantic.Field(default_factory=lambda: os.environ.get("TASK", "generate"))
    logger: Any = None
    tags: list[str] = []

    @pydantic.model_serializer
    def written(self) -> dict[str, Any]:
        return {"model": self.model_id}

    def command(self) -> str:
        return f"serve {self.model_id}"


given = bentoml.use_arguments(Given)


@bentoml.service(traffic={"timeout": given.timeout}, labels={"model": given.model_id, "team": given.team})
class Svc:
    @bentoml.api
    def hello(self) -> str:
        return ""
