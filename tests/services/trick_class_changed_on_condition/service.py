# service: service:Svc
# unknown: service
# also with: REMOTE=1
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


def setup(cls):
    if os.environ.get('REMOTE'):
        cls.added = dep(1)


setup(Plain)
Svc = bentoml.service(name='changed')(Plain)
