# service: service:Svc
# unknown: service
import functools
import os

import bentoml


def dep(port):
    return bentoml.depends(url=f'http://127.0.0.1:{port}')


def first(names):
    for name in names:
        if name.startswith('s'):
            return bentoml.models.BentoModel(name)
    return None


@bentoml.service
class Svc:
    a = first(['iris_clf:v1', 'scaler:v2'])

    @bentoml.api
    def hello(self) -> str:
        return ''
