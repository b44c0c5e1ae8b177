# service: service:Svc
# unknown: service
import os

import bentoml

if os.environ.get("CLOUD_DECORATORS"):
    from cloud_decorators import service
else:
    service = bentoml.service


@service(
    name="conditional",
    labels={"team": "ml"},
    envs=[{"name": "LEVEL", "value": "3"}],
    resources={"cpu": "1"},
    image=bentoml.images.Image(python_version="3.12").python_packages("numpy"),
)
class Svc:
    model = bentoml.models.BentoModel("iris_clf:latest")

    @bentoml.api
    def add(self, x: int) -> int:
        return x + 1
