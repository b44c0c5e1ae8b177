# service: service:Svc
# unknown: envs.TOKEN
# also with: TOKEN=abc
import os

import bentoml


@bentoml.service(envs=[{'name': 'TOKEN', 'value': os.environ.get('TOKEN', '')}, {'name': 'PLAIN', 'value': 'p'}])
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
