# service: service:Svc
# unknown: service
import bentoml


@bentoml.service
class Svc:
    got = bentoml.models.get('iris_clf:v1')
    framework = bentoml.sklearn.get('iris_sk:v3')
    resolved = bentoml.models.BentoModel('scaler:v2').resolve()

    @bentoml.api
    def hello(self) -> str:
        return ''
