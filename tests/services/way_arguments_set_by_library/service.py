# service: service:Svc
# unknown: service
import logging

import bentoml
from pydantic import BaseModel


class Args(BaseModel):
    timeout: int = 5
    workers: int = 2

    def double(self) -> None:
        self.timeout *= 2


args = bentoml.use_arguments(Args)
logging.info("%s %s", args, args.model_dump())
args.double()
plain = bentoml.use_arguments()
vars(plain)["workers"] = 3


@bentoml.service(traffic={"timeout": args.timeout}, workers=getattr(plain, "workers", 1))
class Svc:
    @bentoml.api
    def hello(self) -> str:
        return ""
