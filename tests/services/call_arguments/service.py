# service: service:Svc
# unknown: service
import bentoml


class Plain:
    @bentoml.api
    def hello(self) -> str:
        return ''


Svc = bentoml.service(name='called', workers=2)(Plain)
