# service: service:Svc
# unknown: service
import bentoml

TAG = 'iris_clf:v1'


@bentoml.service
class Svc:
    TAG = 'scaler:v2'
    ref = bentoml.models.BentoModel(TAG)
    if TAG.startswith('scaler'):
        more = bentoml.models.BentoModel('iris_clf:v1')
    else:
        never = bentoml.models.BentoModel('scaler:v2')

    @bentoml.api
    def hello(self) -> str:
        return ''
