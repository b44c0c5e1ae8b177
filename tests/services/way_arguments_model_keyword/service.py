# service: service:Svc
# unknown: config.traffic.timeout, config.workers
import bentoml
from pydantic import BaseModel


class Args(BaseModel, validate_default=True):
    timeout: int = "5"


class Later(BaseModel):
    workers: int = 2


Later.workers = 3  # which is no new default
args = bentoml.use_arguments(Args)
later = bentoml.use_arguments(Later)


@bentoml.service(traffic={"timeout": args.timeout}, workers=later.workers)
class Svc:
    @bentoml.api
    def hello(self) -> str:
        return ""
