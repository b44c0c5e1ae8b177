# service: service:Svc
# unknown: service
import bentoml
from starlette.applications import Starlette
from starlette.routing import Route

app = Starlette(routes=[Route('/ui', lambda request: None)])


@bentoml.asgi_app(app, path='/extra')
@bentoml.service(path_prefix='/v1', endpoints={'livez': '/live'})
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
