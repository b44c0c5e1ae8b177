# service: service:Svc
# unknown: service
import bentoml


class Base:
    def __init_subclass__(cls, **kwargs):
        cls.extra = bentoml.depends(url='http://127.0.0.1:1')


@bentoml.service
class Svc(Base):
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
