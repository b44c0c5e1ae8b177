# service: service:Svc
# unknown: service
import bentoml

NAME = 'before'


def setup():
    global NAME
    NAME = 'after'


setup()


@bentoml.service(name=NAME)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
