# service: service:Svc
# unknown: service
from functools import partial

import bentoml

team_service = partial(bentoml.service, traffic={'timeout': 30}, labels={'team': 'ml'})


@team_service(name='inner')
class Inner: ...


@team_service(name='outer', workers=1)
class Svc:
    inner = bentoml.depends(Inner)

    @bentoml.api
    def hello(self) -> str:
        return ''
