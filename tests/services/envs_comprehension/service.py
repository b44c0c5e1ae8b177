# service: service:Svc
# unknown: envs
import bentoml


@bentoml.service(envs=[{'name': name} for name in ('A', 'B')])
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
