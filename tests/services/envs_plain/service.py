# service: service:Svc
# unknown: envs
import bentoml

BASE = [{'name': 'A', 'value': '1'}]


@bentoml.service(envs=BASE + [{'name': 'B'}, {'name': 'C', 'value': 'c', 'stage': 'build'}, dict(name='D', value='d', stage='runtime')])
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
