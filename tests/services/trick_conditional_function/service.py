# service: service:Svc
# unknown: service
# also with: OTHER=1
import functools
import os

import bentoml


def dep(port):
    return bentoml.depends(url=f'http://127.0.0.1:{port}')


if os.environ.get('OTHER'):

    def make(name):
        return bentoml.models.BentoModel(name + ':v0')

else:

    def make(name):
        return bentoml.models.BentoModel(name + ':v1')


@bentoml.service
class Svc:
    a = make('iris_clf')

    @bentoml.api
    def hello(self) -> str:
        return ''
