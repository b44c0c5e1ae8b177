# service: service:Svc
import typing as t
from pathlib import Path

import bentoml
from bentoml.validators import ContentType


@bentoml.service
class Svc:
    @bentoml.api
    def thumb(self, image: t.Annotated[Path, ContentType('image/png')]) -> Path:
        return image
