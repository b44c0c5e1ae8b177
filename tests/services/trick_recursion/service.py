# service: service:Svc
# unknown: service
import bentoml


def nest(depth):
    return 'x' if depth == 0 else nest(depth - 1) + 'y'


@bentoml.service(name=nest(3), labels={'deep': nest(100)})
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
