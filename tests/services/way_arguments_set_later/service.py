# service: service:Svc
# unknown: service
import bentoml
from pydantic import BaseModel


class Args(BaseModel):
    timeout: int = 5
    workers: int = 1
    team: str = "ml"


def raise_workers(given):
    given.workers = 4


args = bentoml.use_arguments(Args)
args.timeout = 12
setattr(args, "team", "vision")
raise_workers(args)


@bentoml.service(traffic={"timeout": args.timeout}, workers=args.workers, labels={"team": args.team})
class Svc:
    @bentoml.api
    def hello(self) -> str:
        return ""
