# service: service:Svc
import typing as t

import bentoml


@bentoml.service
class Svc:
    @bentoml.task
    def train(self, rows: list[float]) -> float:
        return sum(rows)

    @bentoml.task(route='/v2/render', batchable=True)
    def render(self, texts: list[str]) -> list[str]:
        return texts

    @bentoml.api
    def lines(self, text: str) -> t.Generator[str, None, None]:
        yield text
