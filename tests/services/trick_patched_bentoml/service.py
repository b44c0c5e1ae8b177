# service: service:Svc
# unknown: service
import functools

import bentoml
from bentoml import api

bentoml.service = functools.partial(bentoml.service, name='patched')


@bentoml.service()
class Svc:
    @api
    def hello(self) -> str:
        return ''
