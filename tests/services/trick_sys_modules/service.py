# service: service:Svc
# unknown: service
import sys

import bentoml

NAME = 'before'
setattr(sys.modules[__name__], 'NAME', 'after')


@bentoml.service(name=NAME)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
