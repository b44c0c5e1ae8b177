# service: service:Svc
# unknown: service
import bentoml

NAME = 'before'
globals().update(NAME='after')


def inject(names):
    names['LABEL'] = 'injected'


LABEL = 'x'
inject(globals())


@bentoml.service(name=NAME, labels={'l': LABEL})
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
