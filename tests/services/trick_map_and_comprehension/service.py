# service: service:Svc
# unknown: service
import functools
import os

import bentoml


def dep(port):
    return bentoml.depends(url=f'http://127.0.0.1:{port}')


DEPS = [dep(port) for port in (1, 2)]
MAPPED = list(map(dep, [3]))
GEN = (dep(port) for port in (4, 5))


@bentoml.service
class Svc:
    a = DEPS[0]
    b = MAPPED[0]
    c = next(GEN)
    d = functools.reduce(lambda one, two: dep(two), [1, 2])

    @bentoml.api
    def hello(self) -> str:
        return ''
