# service: service:Svc
# unknown: service, config, models, labels, envs, image, description
import bentoml

small = bentoml.service(resources={'cpu': '1'})


@small
class Svc:
    @bentoml.api
    def hello(self) -> str:
        return ''
