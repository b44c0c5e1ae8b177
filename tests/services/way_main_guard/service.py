# service: service:Svc
# unknown: service
import bentoml


@bentoml.service(name=__name__)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''


if __name__ == '__main__':
    Svc.name = 'run'
    Svc.serve_http()
