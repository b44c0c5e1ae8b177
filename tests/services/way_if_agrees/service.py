# service: service:Svc
# unknown: service
# also with: GPU=1
import os

import bentoml

if os.environ.get('GPU'):
    NAME = 'same'
    TAG = 'iris_clf:v1'

    @bentoml.service(name='inner', labels={'x': 'gpu'})
    class Inner:
        ref = bentoml.models.BentoModel('scaler:v2')

else:
    NAME = 'sa' + 'me'
    TAG = 'iris_clf:v1'

    @bentoml.service(name='inner', labels={'x': 'cpu'})
    class Inner:
        ref = bentoml.models.BentoModel('scaler:v2')


@bentoml.service(name=NAME)
class Svc:
    inner = bentoml.depends(Inner)
    ref = bentoml.models.BentoModel(TAG)
