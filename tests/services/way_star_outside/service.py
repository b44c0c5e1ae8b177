# service: service:Svc
# unknown: service
import bentoml

NAME = 'before'
from os.path import *

OTHER = 'after'


@bentoml.service(name=OTHER, labels={'n': NAME})
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
