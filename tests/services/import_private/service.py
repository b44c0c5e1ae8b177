# service: service:Svc
from _bentoml_sdk import api, depends, service
from _bentoml_sdk.models import BentoModel
from _bentoml_sdk.service import service as again


@again(name='inner')
class Inner:
    @api
    def hi(self) -> int:
        return 1


@service(name='private')
class Svc:
    inner = depends(Inner)
    ref = BentoModel('scaler:v2')

    @api
    def hello(self) -> str:
        return ''
