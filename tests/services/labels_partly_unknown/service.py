# service: service:Svc
# unknown: labels.sha
# also with: GIT_SHA=abc
import os

import bentoml


@bentoml.service(labels={'sha': os.environ.get('GIT_SHA', 'none'), 'team': 'ml'})
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
