# service: service:Svc
# unknown: labels.openai_endpoint
import bentoml
from starlette.applications import Starlette
from starlette.staticfiles import StaticFiles

app = Starlette()
app.mount("/static", StaticFiles(directory="."), name="static")
app.mount("/v1/chat/completions", StaticFiles(directory="."))


@bentoml.asgi_app(app, path="/ui")
@bentoml.service
class Svc:
    @bentoml.api
    def hello(self) -> str:
        return ""
