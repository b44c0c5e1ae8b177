# service: service:Svc
# unknown: service
import functools
import os

import bentoml


def dep(port):
    return bentoml.depends(url=f'http://127.0.0.1:{port}')


@bentoml.service
class Svc:
    exec('added = dep(1)')

    @bentoml.api
    def hello(self) -> str:
        return ''
