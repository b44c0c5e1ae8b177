# service: service:Svc
# unknown: service
import os

import bentoml

made = bentoml.service(
    labels={"team": "ml", "stage": os.environ.get("STAGE", "dev")},
    workers=int(os.environ.get("WORKERS", "2")),
    traffic={"timeout": 7},
)


@made
class Svc:
    @bentoml.api
    def add(self, x: int) -> int:
        return x + 1
