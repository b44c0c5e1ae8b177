# service: service:Svc
# unknown: config.workers
import bentoml


@bentoml.service(cmd=['vllm', 'serve'], workers=1)
class Inner:
    pass


@bentoml.service
class Svc:
    __command__ = ['serve']
    inner = bentoml.depends(Inner)

    @bentoml.api
    def hello(self) -> str:
        return ''
