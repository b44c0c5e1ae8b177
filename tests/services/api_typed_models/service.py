# service: service:Svc
from __future__ import annotations

import datetime
import enum
import typing as t
import uuid

import bentoml
from annotated_types import Ge, Le, MultipleOf
from pydantic import BaseModel, ConfigDict


class Size(str, enum.Enum):
    SMALL = 'small'
    LARGE = 'large'


class Whole(BaseModel):
    model_config = ConfigDict(extra='forbid')
    kind: t.Literal['whole'] = 'whole'
    id: uuid.UUID
    when: datetime.datetime
    size: Size = Size.SMALL


@bentoml.service
class Svc:
    @bentoml.api
    def one(self, root: Whole, /) -> Whole:
        return root

    @bentoml.api
    def two(self, share: t.Annotated[float, Ge(0), Le(1), MultipleOf(0.1)], names: dict[str, list[Size]]) -> t.Optional[int]:
        return None

    @bentoml.api
    def three(self, pair: tuple[int, str], anything: t.Any = None) -> t.Union[int, str]:
        return 1
