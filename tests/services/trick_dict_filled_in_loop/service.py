# service: service:Svc
# unknown: service
import functools
import os

import bentoml


def dep(port):
    return bentoml.depends(url=f'http://127.0.0.1:{port}')


DEPS = {}
for port in (1, 2):
    DEPS[port] = dep(port)
PLAIN = {'a': dep(3)}


@bentoml.service
class Svc:
    a = DEPS[1]
    b = PLAIN['a']
    c = PLAIN.get('a')
    d = [dep(4), None][0]

    @bentoml.api
    def hello(self) -> str:
        return ''
