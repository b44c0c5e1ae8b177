# service: service:Svc
import bentoml
import bentoml.images
import bentoml.models as store
from bentoml import models
from bentoml.images import PythonImage


@bentoml.service(image=PythonImage(python_version='3.11').python_packages('numpy'))
class Svc:
    one = store.BentoModel('iris_clf:v1')
    two = models.BentoModel('scaler:v2')
    three = bentoml.models.BentoModel('scaler:v2')

    @bentoml.api
    def hello(self) -> str:
        return ''
