# service: service:Svc
# unknown: labels.openai_endpoint
import typing as t

import bentoml
from fastapi import FastAPI
from pydantic import BaseModel

openai = FastAPI()


class Message(BaseModel):
    role: str
    content: str


class Request(BaseModel):
    model: str
    messages: list[Message]
    stream: bool = False


@openai.get('/models')
async def models():
    return {'object': 'list', 'data': [{'id': 'tiny'}]}


@openai.post('/chat/completions')
async def complete(request: Request):
    return {'object': 'chat.completion', 'choices': []}


@bentoml.asgi_app(openai, path='/v1')
@bentoml.service(traffic={'timeout': 30})
class Svc:
    @bentoml.api
    async def say(self, prompt: str, max_tokens: int = 16) -> t.AsyncGenerator[str, None]:
        yield prompt
