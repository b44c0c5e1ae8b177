# service: service:svc
# unknown: service
import bentoml
from bentoml.legacy import Service

ref = bentoml.models.get('iris_clf:v1')
NAME = 'Models'
svc = Service(name=f'{NAME}-Legacy', models=[ref, bentoml.models.get('scaler:v2')])


@svc.api(input=bentoml.io.Text(), output=bentoml.io.Multipart(a=bentoml.io.Text(), b=bentoml.io.JSON()), route='/v1/go', name='go')
async def run(text):
    return {'a': text, 'b': {}}


@svc.on_startup
def start(context): ...
