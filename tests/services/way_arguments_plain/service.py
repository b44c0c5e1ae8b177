# service: service
# unknown: service
import bentoml

args = bentoml.use_arguments()


@bentoml.service(labels={"own": "x", "other": getattr(args, "other", "none")})
class Svc:
    @bentoml.api
    def hello(self) -> str:
        return "hello"
