# service: service:Svc
# unknown: service
import bentoml


class Meta(type):
    def __new__(meta, name, bases, body):
        body['extra'] = bentoml.depends(url='http://127.0.0.1:1')
        return super().__new__(meta, name, bases, body)


@bentoml.service
class Svc(metaclass=Meta):
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
