# service: service:Svc
# unknown: service
import functools
import os

import bentoml


def dep(port):
    return bentoml.depends(url=f'http://127.0.0.1:{port}')


class Plain:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''


class Setup:
    def __init__(self, cls):
        cls.added = dep(1)


Setup(Plain)
Svc = bentoml.service(name='changed')(Plain)
