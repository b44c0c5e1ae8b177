# service: service:Svc
# unknown: labels
# also with: PICK=one
import os

import bentoml

ONE = {'a': '1'}
TWO = {'a': '2'}
TABLE = {'one': ONE, 'two': TWO}
TABLE[os.environ.get('PICK', 'two')]['b'] = '2'


@bentoml.service(labels=ONE)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
