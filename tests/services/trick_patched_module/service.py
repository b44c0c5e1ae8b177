# service: service:Svc
# unknown: service
import conf
import bentoml

conf.NAME = 'patched'


@bentoml.service(name=conf.NAME)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
