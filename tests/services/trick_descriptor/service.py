# service: service:Svc
# unknown: service
import functools
import os

import bentoml


def dep(port):
    return bentoml.depends(url=f'http://127.0.0.1:{port}')


class Lazily:
    def __get__(self, instance, owner):
        return dep(1)


@bentoml.service
class Svc:
    a = Lazily()

    @bentoml.api
    def hello(self) -> str:
        return ''
