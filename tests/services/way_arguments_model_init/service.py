# service: service:Svc
# unknown: service
import bentoml
from pydantic import BaseModel


class Args(BaseModel):
    name: str = "default-arg"

    def __init__(self, **given):
        super().__init__(**given)
        self.name = "other"


args = bentoml.use_arguments(Args)


@bentoml.service(name=args.name)
class Svc:
    @bentoml.api
    def hello(self) -> str:
        return ""
