# service: service:Svc
# unknown: image
import bentoml
from lib.images import base_image


@bentoml.service(image=base_image('numpy'))
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
