# service: service:Svc
# unknown: name
import functools

import bentoml
from bentoml import api

bentoml.service = functools.partial(bentoml.service, name='patched')


@bentoml.service()
class Svc:
    @api
    def hello(self) -> str:
        return ''
