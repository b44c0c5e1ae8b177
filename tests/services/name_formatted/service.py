# service: service:Svc
# unknown: service
import bentoml
TEAM = "ml"
KIND = "iris"
MAJOR, MINOR = 1, 2


@bentoml.service(name=f"{TEAM}_{KIND!s}_v{MAJOR}{MINOR:02d}")
class Svc:

    @bentoml.api
    def hello(self, name: str = "x") -> str:
        return name
