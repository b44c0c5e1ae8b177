# service: service:Svc
# unknown: labels
# also with: PICK=1
import os

import bentoml

ONE = {'a': '1'}
TWO = {'a': '1'}
PICKED = ONE if os.environ.get('PICK') else TWO
PICKED['b'] = '2'


@bentoml.service(labels=ONE)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
