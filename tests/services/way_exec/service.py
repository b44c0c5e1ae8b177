# service: service:Svc
# unknown: name
import bentoml

NAME = 'before'
exec('NAME = "after"')


@bentoml.service(name=NAME)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
