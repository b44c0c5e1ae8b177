# service: service:Svc
import typing as t
from pathlib import Path

import bentoml
from bentoml.validators import ContentType
from PIL.Image import Image

Sound = t.Annotated[Path, ContentType('audio/mp3')]


@bentoml.service
class Svc:
    @bentoml.api
    def turned(self, image: Image, degrees: int = 90) -> Image:
        return image

    @bentoml.api
    def spoken(self, sounds: list[Sound]) -> Sound:
        return sounds[0]

    @bentoml.api
    def raw(self, data: bytes) -> bytes:
        return data
