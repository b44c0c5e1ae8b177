# service: service:Svc
# unknown: service
# also with: KIND=fast
import os

import bentoml


class Fast:
    @bentoml.api
    def hello(self) -> int:
        return 1


class Slow:
    @bentoml.api
    def hello(self) -> int:
        return 2


Svc = bentoml.service({'fast': Fast, 'slow': Slow}[os.environ.get('KIND', 'slow')])
