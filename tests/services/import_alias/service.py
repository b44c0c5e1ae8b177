# service: service:Svc
import bentoml as b


@b.service(name='aliased')
class Svc:
    @b.api
    def hello(self) -> str:
        return ''
