# service: service:Svc
# unknown: labels, envs
# also with: MORE=1
import os

import bentoml

LABELS = {'a': '1'}
os.environ.get('MORE') and LABELS.update(b='2')
ENVS = []
assert ENVS.append({'name': 'A'}) is None


@bentoml.service(labels=LABELS, envs=ENVS)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
