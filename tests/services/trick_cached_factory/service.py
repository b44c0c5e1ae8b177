# service: service:Svc
# unknown: service
import functools
import os

import bentoml


def dep(port):
    return bentoml.depends(url=f'http://127.0.0.1:{port}')


cached = functools.lru_cache(dep)


@functools.cache
def other(port):
    return dep(port)


@bentoml.service
class Svc:
    a = cached(1)
    b = other(2)

    @bentoml.api
    def hello(self) -> str:
        return ''
