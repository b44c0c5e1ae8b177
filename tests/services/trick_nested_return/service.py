# service: service:Svc
# unknown: labels
# also with: MORE=1
import os

import bentoml


def labels():
    found = {'a': '1'}
    if not os.environ.get('MORE'):
        if os.environ.get('HOME'):
            return found
    found['b'] = '2'
    return found


@bentoml.service(labels=labels())
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
