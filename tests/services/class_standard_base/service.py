# service: service:Svc
# unknown: service
import bentoml
from collections import UserDict


@bentoml.service
class Svc(UserDict):
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
