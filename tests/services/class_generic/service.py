# service: service:Svc
# unknown: service
import abc
import typing as t
from dataclasses import dataclass

import bentoml

T = t.TypeVar('T')


class Base(t.Generic[T], abc.ABC):
    tag: t.ClassVar[str] = 'iris_clf:v1'

    @abc.abstractmethod
    def prepare(self) -> T: ...

    @bentoml.api
    def base_api(self) -> int:
        return 1


@bentoml.service
@dataclass
class Svc(Base[int]):
    size: int = 3
    ref = bentoml.models.BentoModel(Base.tag)

    def prepare(self) -> int:
        return 1
