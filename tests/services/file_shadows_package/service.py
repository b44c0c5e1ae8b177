# service: service:Svc
import bentoml
from conf import NAME


@bentoml.service(name=NAME)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
