# service: service:Svc
import bentoml


@bentoml.service
class Svc:
    @bentoml.on_deployment
    @staticmethod
    def prepare() -> None: ...

    @bentoml.on_startup
    async def start(self) -> None: ...

    @bentoml.on_shutdown
    def stop(self) -> None: ...

    async def __is_ready__(self) -> bool:
        return True

    @bentoml.api
    def hello(self) -> str:
        return ''
