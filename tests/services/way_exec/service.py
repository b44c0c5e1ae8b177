# service: service:Svc
# unknown: service
import bentoml

NAME = 'before'
exec('NAME = "after"')


@bentoml.service(name=NAME)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
