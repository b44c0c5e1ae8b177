# service: service:Svc
# unknown: service
import bentoml


@bentoml.service(name='before')
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''


Svc.name = 'after'
Svc.labels = {'x': 'y'}
