# service: service:Alias
# unknown: service
import bentoml


@bentoml.service(name='one')
class Svc:

    @bentoml.api
    def hello(self, name: str = "x") -> str:
        return name


Alias = Svc
