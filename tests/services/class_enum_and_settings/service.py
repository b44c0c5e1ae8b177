# service: service:Svc
# unknown: service
import enum
from dataclasses import dataclass

import bentoml


class Names(str, enum.Enum):
    IRIS = 'iris_enum'


class Tags:
    MODEL = 'iris_clf:v1'

    class Deep:
        MODEL = 'scaler:v2'


@dataclass(frozen=True)
class Settings:
    timeout: int = 12
    host: str = 'http://127.0.0.1'


settings = Settings()


@bentoml.service(name=Names.IRIS.value, traffic={'timeout': settings.timeout})
class Svc:
    a = bentoml.models.BentoModel(Tags.MODEL)
    b = bentoml.models.BentoModel(Tags.Deep.MODEL)
    c = bentoml.depends(url=settings.host + ':1')
