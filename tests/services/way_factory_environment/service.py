# service: service:Svc
# unknown: service
# also with: LONG=1
import os

import bentoml


def make(name):
    if os.environ.get('LONG'):
        return bentoml.service(name=name + '-long')(Plain)
    return bentoml.service(name=name)(Plain)


class Plain:
    ref = bentoml.models.BentoModel('iris_clf:v1')

    @bentoml.api
    def hello(self) -> str:
        return ''


Svc = make('made')
