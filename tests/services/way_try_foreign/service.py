# service: service:Svc
# unknown: service
import bentoml

NAME = 'first'
try:
    import not_there

    NAME = 'fast'
except ImportError:
    NAME = 'slow'


@bentoml.service(name=NAME)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
