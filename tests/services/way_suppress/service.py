# service: service:Svc
# unknown: service
import contextlib

import bentoml

NAME = 'kept'
with contextlib.suppress(ImportError):
    import not_there

    NAME = 'changed'


@bentoml.service(name=NAME)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
