# service: service.py
import bentoml
from other import Other


@bentoml.service
class Inner: ...


@bentoml.service
class Outer:
    inner = bentoml.depends(Inner)
    other = bentoml.depends(Other)

    @bentoml.api
    def hello(self) -> str:
        return ''
