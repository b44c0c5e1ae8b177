# service: service:Svc
# unknown: labels
import functools
import os

import bentoml


def dep(port):
    return bentoml.depends(url=f'http://127.0.0.1:{port}')


LABELS = {'a': '1'}
SAME = LABELS


def add(labels, key):
    labels[key] = 'x'


def maybe(labels):
    if os.environ.get('MAYBE'):
        labels['maybe'] = 'x'


add(LABELS, 'b')
SAME.update(c='3')
OTHER = {'a': 'b'}
maybe(OTHER)


@bentoml.service(labels=OTHER)
class Inner: ...


@bentoml.service(labels=LABELS)
class Svc:
    inner = bentoml.depends(Inner)

    @bentoml.api
    def hello(self) -> str:
        return ''
