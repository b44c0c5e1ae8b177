# service: service:Svc
import typing as t

import bentoml
from fastapi import FastAPI, WebSocket

app = FastAPI(title='Sockets')


@app.websocket('/echo')
async def echo(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())


@app.get('/items/{item}')
def item(item: int, q: t.Optional[str] = None) -> dict:
    return {'item': item, 'q': q}


@bentoml.asgi_app(app, path='/web')
@bentoml.service
class Svc:
    @bentoml.api
    def hello(self) -> str:
        return ''
