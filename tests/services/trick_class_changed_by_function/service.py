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


def setup(cls, port):
    cls.added = dep(port)
    setattr(cls, 'more', dep(port + 1))
    return cls


setup(Plain, 1)
Svc = bentoml.service(name='changed')(Plain)
