# service: service:Svc
# unknown: service
# also with: GPU=1
import os

import bentoml

NAME = 'cpu_svc'
if os.environ.get('GPU'):
    NAME = 'gpu_svc'


@bentoml.service(name=NAME, labels={'a': 'b'})
class Svc:
    ref = bentoml.models.BentoModel('iris_clf:v1')

    @bentoml.api
    def hello(self) -> str:
        return ''
