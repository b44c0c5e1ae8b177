# service: service:Svc
# unknown: service
from dataclasses import dataclass, field

import bentoml


@bentoml.service
@dataclass
class Svc:
    remote: object = field(default=bentoml.models.BentoModel('iris_clf:v1'))

    @bentoml.api
    def hello(self) -> str:
        return ''
