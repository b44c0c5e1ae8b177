# service: service:Svc
# unknown: service
# also with: MODE=b
import os

import bentoml

MODE = os.environ.get('MODE', 'a')
if MODE == 'a':
    NAME = 'only'
elif MODE == 'b':
    NAME = 'only'
else:
    raise ValueError(MODE)


@bentoml.service(name=NAME)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
