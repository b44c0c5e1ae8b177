"""A service whose image names a file: BentoML looks at it whenever it imports the service."""

import bentoml

image = bentoml.images.Image().requirements_file("requirements.txt")


@bentoml.service(image=image)
class NamedFiles:
    @bentoml.api
    def hello(self) -> str:
        return "hello"
