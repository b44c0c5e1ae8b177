# service: service:Svc
import functools

import bentoml


@bentoml.service
class Svc:
    __slots__ = ('state',)
    LIMIT = 3

    @staticmethod
    def one() -> int:
        return 1

    @classmethod
    def two(cls) -> int:
        return 2

    @property
    def three(self) -> int:
        return 3

    @functools.lru_cache
    def four(self) -> int:
        return 4

    class Nested:
        @bentoml.api
        def not_mine(self) -> int:
            return 1

    @bentoml.api
    def hello(self) -> str:
        return ''
