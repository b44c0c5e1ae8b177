# service: service:Svc
import bentoml
from pydantic import BaseModel


class Args(BaseModel):
    name: str = 'default-arg'
    timeout: int = 5


args = bentoml.use_arguments(Args)


@bentoml.service(name=args.name, traffic={'timeout': args.timeout})
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
