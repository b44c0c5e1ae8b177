# service: service:Svc
# unknown: service
# also with: GPU=1
import os

import bentoml

if os.environ.get('GPU'):

    @bentoml.service(name='svc', resources={'gpu': 1}, workers=1)
    class Svc:
        ref = bentoml.models.BentoModel('iris_clf:v1')

        @bentoml.api
        def hello(self) -> str:
            return ''

else:

    @bentoml.service(name='svc', resources={'cpu': '1'}, workers=1)
    class Svc:
        ref = bentoml.models.BentoModel('iris_clf:v1')

        @bentoml.api
        def hello(self) -> str:
            return ''
