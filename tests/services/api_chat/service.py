# service: service:Svc
import bentoml


@bentoml.service(labels={'a': 'b'})
class Svc:
    @bentoml.api(route='/v1/chat/completions')
    def chat(self, messages: list[str]) -> str:
        return ''
