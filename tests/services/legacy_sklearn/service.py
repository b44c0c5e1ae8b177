# service: service:svc
# unknown: service
import bentoml
from bentoml.io import JSON, NumpyNdarray

runner = bentoml.sklearn.get('iris_sk:v3').to_runner()
svc = bentoml.legacy.Service('iris_legacy', runners=[runner])


@svc.api(input=NumpyNdarray(), output=JSON())
def classify(rows):
    return runner.predict.run(rows)
