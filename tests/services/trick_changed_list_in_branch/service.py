# service: service:Svc
# unknown: envs
# also with: PICK=1
import os

import bentoml

if os.environ.get('PICK'):
    ENVS = []
else:
    ENVS = []
if os.environ.get('PICK'):
    ENVS.append({'name': 'PICKED'})


@bentoml.service(envs=ENVS)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
