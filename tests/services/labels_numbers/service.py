# service: service:Svc
import bentoml


@bentoml.service(labels={'i': 1, 'f': 1.50, 't': True, 'n': None, 's': 'x'})
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
