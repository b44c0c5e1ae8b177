# service: service:Svc
# unknown: models.tag
import bentoml
from bentoml.models import BentoModel

VERSION = 'v1'


@bentoml.service
class Svc:
    pinned = BentoModel('iris_clf:v1')
    latest = BentoModel('iris_clf:latest')
    bare = BentoModel('scaler')
    again = BentoModel('scaler:v2')
    computed = BentoModel(f'iris_clf:{VERSION}')
    keyword = BentoModel(tag='Scaler:V2')
    tag = BentoModel(bentoml.Tag('scaler', 'v2'))

    @bentoml.api
    def hello(self) -> str:
        return ''
