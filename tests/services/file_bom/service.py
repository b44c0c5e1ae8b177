# service: service:Svc
import bentoml


@bentoml.service(name='bom', description='café')
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
