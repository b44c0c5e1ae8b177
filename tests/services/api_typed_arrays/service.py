# service: service:Svc
from __future__ import annotations

import typing as t

import bentoml
import numpy as np
import pandas as pd
from bentoml.validators import DataframeSchema, DType, Shape


@bentoml.service
class Svc:
    @bentoml.api
    def plain(self, rows: np.ndarray) -> np.ndarray:
        return rows

    @bentoml.api
    def shaped(self, rows: t.Annotated[np.ndarray, Shape((2, 4)), DType('float32')]) -> np.ndarray:
        return rows

    @bentoml.api
    def frame(self, frame: pd.DataFrame) -> pd.DataFrame:
        return frame

    @bentoml.api
    def columns(
        self, frame: t.Annotated[pd.DataFrame, DataframeSchema(orient='records', columns=['a', 'b'])]
    ) -> pd.DataFrame:
        return frame
