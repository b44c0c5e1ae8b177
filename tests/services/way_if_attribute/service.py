# service: service:Svc
# unknown: service
# also with: REMOTE=1
import os

import bentoml


@bentoml.service
class Svc:
    SIZE = 1
    if os.environ.get('REMOTE'):
        dep = bentoml.depends(url='http://127.0.0.1:1')
        SIZE = 2

    @bentoml.api
    def hello(self) -> str:
        return ''
