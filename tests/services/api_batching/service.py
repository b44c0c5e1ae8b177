# service: service:Svc
# unknown: service
import bentoml
import numpy as np

BATCH = dict(batchable=True, batch_dim=(0, 0), max_batch_size=32, max_latency_ms=500)


@bentoml.service
class Svc:
    @bentoml.api(**BATCH)
    def one(self, rows: list[int]) -> list[int]:
        return rows

    @bentoml.api(batchable=True, batch_dim=0)
    def two(self, rows: np.ndarray) -> np.ndarray:
        return rows
