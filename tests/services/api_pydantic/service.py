# service: service:Svc
from __future__ import annotations

import bentoml
from pydantic import BaseModel, Field


class Row(BaseModel):
    length: float = Field(gt=0)
    tags: list[str] = []


class Out(BaseModel):
    label: str


@bentoml.service
class Svc:
    @bentoml.api(input_spec=Row, output_spec=Out)
    def classify(self, **params) -> Out:
        return Out(label='x')

    @bentoml.api
    def rows(self, rows: list[Row], ctx: bentoml.Context) -> Out:
        return Out(label='x')
