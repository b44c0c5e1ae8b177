# service: service:Svc
# unknown: service
# also with: OLD=1
import os

import bentoml


def maker(version):
    def make(name):
        return bentoml.models.BentoModel(f'{name}:{version}')

    return make


if os.environ.get('OLD'):
    make = maker('v0')
else:
    make = maker('v1')


@bentoml.service
class Svc:
    ref = make('iris_clf')

    @bentoml.api
    def hello(self) -> str:
        return ''
