# service: service:Svc
import bentoml


@bentoml.service(traffic={'timeout': 5, 'concurrency': 3})
class Worker:
    @bentoml.task(batchable=True)
    def work(self, rows: list[int]) -> list[int]:
        return rows


@bentoml.service
class Svc:
    worker = bentoml.depends(Worker)

    @bentoml.task
    def long(self) -> int:
        return 1

    @bentoml.api
    def hello(self) -> str:
        return ''
