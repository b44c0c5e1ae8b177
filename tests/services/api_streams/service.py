# service: service:Svc
import typing as t

import bentoml


@bentoml.service
class Svc:
    @bentoml.api
    def sync(self, n: int) -> t.Iterator[str]:
        for i in range(n):
            yield str(i)

    @bentoml.api
    async def later(self, n: int) -> t.AsyncGenerator[str, None]:
        for i in range(n):
            yield str(i)

    @bentoml.api
    def inner(self, n: int) -> int:
        def generator():
            yield n

        return sum(generator())
