# service: service:Svc
# unknown: service
import bentoml

NAME = 'kept'
try:
    NAME = 'half'
    import not_there

    NAME = 'kept'
except ImportError:
    pass


@bentoml.service(name=NAME)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
