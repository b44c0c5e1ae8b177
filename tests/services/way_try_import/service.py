# service: service:Svc
# unknown: service
import bentoml

try:
    import not_there
except ImportError:
    not_there = None
try:
    from conf import NAME
except ImportError:
    NAME = 'fallback'
try:
    import tomllib
except ModuleNotFoundError:
    tomllib = None


@bentoml.service(name=NAME)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
