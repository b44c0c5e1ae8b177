# service: service:Svc
# unknown: labels
import bentoml

LABELS = {'a': '1'}


@bentoml.service(labels={**LABELS})
class Svc:
    (lambda labels: labels.update(b='2'))(LABELS)

    @bentoml.api
    def hello(self) -> str:
        return ''
