# service: service:Svc
import bentoml
from bentoml.models import HuggingFaceModel

MODEL = 'Acme/Tiny-BERT'


@bentoml.service
class Svc:
    a = HuggingFaceModel(MODEL)
    b = HuggingFaceModel(MODEL, revision='0123abc', include=['*.json'], exclude=['*.bin'])
    c = HuggingFaceModel('gpt2', 'v1', endpoint='http://127.0.0.1:9')

    @bentoml.api
    def hello(self) -> str:
        return ''
