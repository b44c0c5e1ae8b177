# service: service:Svc
# unknown: service
# also with: PICK=1
import os

import bentoml


@bentoml.service
class A: ...


@bentoml.service
class B: ...


Picked = A if os.environ.get('PICK') else B


@bentoml.service
class Svc:
    picked = bentoml.depends(Picked)
