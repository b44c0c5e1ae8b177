# service: service:Svc
# unknown: service
import bentoml

small = bentoml.service(resources={'cpu': '1'})


@small
class Svc:
    @bentoml.api
    def hello(self) -> str:
        return ''
