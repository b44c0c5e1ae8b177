# service: service:Svc
# unknown: config.workers
import bentoml


@bentoml.service(cmd=['vllm', 'serve'])
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
