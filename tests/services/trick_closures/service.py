# service: service:Svc
# unknown: service
import functools
import os

import bentoml


def dep(port):
    return bentoml.depends(url=f'http://127.0.0.1:{port}')


def configured(**given):
    count = 0

    def wrap(cls):
        nonlocal count
        count += 1
        cls.extra = dep(1)
        return bentoml.service(**given, labels={'n': str(count)})(cls)

    return wrap


@configured(name='wrapped', workers=2)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
