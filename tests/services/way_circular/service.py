# service: service:Svc
# unknown: service
import bentoml
import conf

PREFIX = 'circ'


class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''


Svc = bentoml.service(name=conf.name())(Svc)
