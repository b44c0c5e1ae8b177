# service: service:Svc
# unknown: labels
# also with: MAYBE=1
import os

import bentoml

LABELS = {'a': '1'}


def maybe(labels):
    if os.environ.get('MAYBE'):
        labels['maybe'] = 'x'


maybe(LABELS)


@bentoml.service(labels=LABELS)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
