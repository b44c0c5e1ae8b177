# service: service:Svc
# unknown: service
import bentoml
DEBUG = False
LEVEL = ""


@bentoml.service(name="debug" if DEBUG else "release", labels={"a": LEVEL or "none", "b": DEBUG and "x" or "y"})
class Svc:

    @bentoml.api
    def hello(self, name: str = "x") -> str:
        return name
