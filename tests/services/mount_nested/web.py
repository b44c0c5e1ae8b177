from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute



async def page(request):
    return PlainTextResponse('x')


async def socket(websocket):
    await websocket.accept()


inner = Starlette(routes=[Route('/chat/completions', page)])
app = Starlette(routes=[Route('/page', page), Mount('/v1/', app=inner), Mount('/files', routes=[Route('/x', page)])])
