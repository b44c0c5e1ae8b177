# service: service:Svc
# unknown: image
import bentoml
from bentoml.images import Image

PACKAGES = ['idna', 'packaging']
image = Image(base_image='python:3.11-slim', distro='', lock_python_packages=False)
image.python_packages(*PACKAGES)
image = image.run(command='echo done')


@bentoml.service(image=image)
class Inner:
    pass


@bentoml.service(image=image)
class Svc:
    inner = bentoml.depends(Inner)

    @bentoml.api
    def hello(self) -> str:
        return ''
