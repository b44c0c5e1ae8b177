# service: service:Svc
# unknown: service
import bentoml
from pydantic import BaseModel


class Args(BaseModel):
    name: str = "default-arg"

    def __getattribute__(self, attribute):
        return "other" if attribute == "name" else super().__getattribute__(attribute)


args = bentoml.use_arguments(Args)


@bentoml.service(name=args.name)
class Svc:
    @bentoml.api
    def hello(self) -> str:
        return ""
