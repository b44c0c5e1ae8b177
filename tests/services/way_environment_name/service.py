# service: service:Svc
# unknown: service
# also with: SVC=other
import os

import bentoml


@bentoml.service(name=os.environ.get('SVC', 'default_name'))
class Svc:
    ref = bentoml.models.BentoModel('iris_clf:v1')

    @bentoml.api
    def hello(self) -> str:
        return ''
