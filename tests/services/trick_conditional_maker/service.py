# service: service:Svc
# unknown: service
# also with: OTHER=1
import os

import bentoml

if os.environ.get('OTHER'):
    make = bentoml.models.BentoModel
else:
    make = bentoml.models.get


@bentoml.service
class Svc:
    a = make('iris_clf:v1')

    @bentoml.api
    def hello(self) -> str:
        return ''
