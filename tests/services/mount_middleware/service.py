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


from starlette.middleware.gzip import GZipMiddleware

app = Starlette()


app.add_middleware(GZipMiddleware)


@bentoml.asgi_app(app, path='/m')
@bentoml.service
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''


Svc.add_asgi_middleware(GZipMiddleware, minimum_size=10)
