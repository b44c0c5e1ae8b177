# service: service:Svc
# unknown: labels.openai_endpoint
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

import bentoml


async def page(request):
    return PlainTextResponse('x')


async def socket(websocket):
    await websocket.accept()


app = Starlette(routes=[Route(path, page) for path in ('/a', '/b')])


@bentoml.asgi_app(app, path='/extra')
@bentoml.service
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
