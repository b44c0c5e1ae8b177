# service: service:Svc
# unknown: labels.openai_endpoint
import bentoml
from web import app


@bentoml.asgi_app(app, path='/api')
@bentoml.service(labels={'a': 'b'})
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
