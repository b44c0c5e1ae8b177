# service: service:Svc
import bentoml


@bentoml.service(workers='cpu_count', traffic={})
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
