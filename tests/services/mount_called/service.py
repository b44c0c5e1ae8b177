# service: service:Svc
# unknown: service
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

import bentoml


async def page(request):
    return PlainTextResponse('x')


async def socket(websocket):
    await websocket.accept()


app = Starlette(routes=[Route('/page', page)])


@bentoml.service
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''


Svc.mount_asgi_app(app, path='/late')


async def plain(scope, receive, send): ...


Svc.mount_asgi_app(plain, '/plain', name='plain')
