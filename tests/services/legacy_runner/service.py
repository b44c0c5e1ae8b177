# service: service
# unknown: service
import bentoml
import numpy as np
from bentoml.io import NumpyNdarray


class Doubler(bentoml.legacy.Runnable):
    SUPPORTED_RESOURCES = ('cpu',)
    SUPPORTS_CPU_MULTI_THREADING = True

    @bentoml.legacy.Runnable.method(batchable=False)
    def double(self, rows):
        return rows * 2


runner = bentoml.legacy.Runner(Doubler, models=[bentoml.models.get('scaler:v2')])
named = bentoml.legacy.Runner(Doubler, name='Second', embedded=True)
svc = bentoml.legacy.Service('doubler', runners=[runner, named])
sample = np.zeros((1, 2))


@svc.api(input=NumpyNdarray.from_sample(sample), output=NumpyNdarray())
def double(rows):
    return runner.run(rows)
