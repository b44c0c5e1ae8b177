# service: service:Svc
# unknown: service
import functools
import os

import bentoml


def dep(port):
    return bentoml.depends(url=f'http://127.0.0.1:{port}')


@bentoml.service
class Svc:
    locals()['added'] = dep(1)
    vars().update(more=dep(2))

    @bentoml.api
    def hello(self) -> str:
        return ''
