# service: service:svc
# unknown: service
# also with: MODEL=scaler:v2
import os

import bentoml

models = [bentoml.models.get(os.environ.get('MODEL', 'iris_clf:v1'))]
svc = bentoml.legacy.Service('chosen', models=models)
