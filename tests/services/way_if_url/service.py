# service: service:Svc
# unknown: service
# also with: REMOTE=http://127.0.0.1:1
import os

import bentoml


@bentoml.service
class A: ...


@bentoml.service
class Svc:
    if url := os.environ.get('REMOTE'):
        a = bentoml.depends(A, url=url)
    else:
        a = bentoml.depends(A)
