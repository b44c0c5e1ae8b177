# service: service:Svc
# unknown: config.traffic.timeout
# also with: TIMEOUT=9
import os

import bentoml


@bentoml.service(traffic={'timeout': int(os.environ.get('TIMEOUT', '5')), 'concurrency': 2}, workers=1)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
