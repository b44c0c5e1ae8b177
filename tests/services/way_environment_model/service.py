# service: service:Svc
# unknown: models.ref
# also with: MODEL=scaler:v2
import os

import bentoml


@bentoml.service
class Svc:
    ref = bentoml.models.BentoModel(os.getenv('MODEL', 'iris_clf:v1'))
    plain = bentoml.models.BentoModel('scaler:v2')

    @bentoml.api
    def hello(self) -> str:
        return ''
