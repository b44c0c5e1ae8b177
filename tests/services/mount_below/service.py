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


app = Starlette(routes=[Route('/page', page)])
other = Starlette()
other.add_route('/added', page)


@bentoml.service
@bentoml.asgi_app(app, path='/one')
@bentoml.asgi_app(other)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
