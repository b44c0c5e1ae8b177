# service: service:Svc
# unknown: service
import bentoml


def wsgi(environ, start_response):
    start_response('200 OK', [])
    return [b'']


@bentoml.service
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''


Svc.mount_wsgi_app(wsgi, path='/wsgi')
