# service: service:Svc
# unknown: service
import bentoml


def register(cls):
    cls.registered = True
    return cls


def rename(cls):
    class Renamed(cls):
        extra = bentoml.depends(url='http://127.0.0.1:1')

    return Renamed


@bentoml.service
@rename
@register
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
