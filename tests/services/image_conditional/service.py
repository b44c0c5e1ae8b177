# service: service:Svc
# unknown: image
# also with: GPU=1
import os

import bentoml

image = bentoml.images.Image(python_version='3.11')
if os.environ.get('GPU'):
    image.system_packages('cuda')


@bentoml.service(image=image)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
