# service: service:Svc
# unknown: labels
import bentoml

LABELS = {'a': '1'}


def fill(labels):
    labels['b'] = '2'
    yield 1


list(fill(LABELS))


@bentoml.service(labels=LABELS)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
