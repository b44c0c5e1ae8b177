# service: service:Svc
# unknown: service
import threading

import bentoml
import httpx


class Settings:
    def __init__(self):
        self.url = 'http://127.0.0.1'

    def base(self):
        return self.url


settings = Settings()


def log(request): ...


@bentoml.service
class Svc:
    settings = settings
    client = httpx.Client(event_hooks={'request': [log]})
    local = threading.local()

    @bentoml.api
    def hello(self) -> str:
        return ''
