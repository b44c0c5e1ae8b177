# service: service:Svc
# unknown: service
# also with: KIND=a
import os

import bentoml

match os.environ.get('KIND', ''):
    case 'a':
        NAME = 'kind_a'
    case _:
        NAME = 'kind_other'


@bentoml.service(name=NAME)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
