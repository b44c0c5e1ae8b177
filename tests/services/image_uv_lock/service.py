# service: service:Svc
import bentoml

image = bentoml.images.Image('python:3.11-slim').uv_lock()


@bentoml.service(image=image)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
