# service: service:Svc
# unknown: service
import bentoml


def inject(names):
    for key in ('LABEL',):
        names[key] = 'injected'


LABEL = 'x'
inject(globals())


@bentoml.service(labels={'l': LABEL})
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
