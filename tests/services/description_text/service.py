# service: service:Svc
import bentoml


@bentoml.service(description="""Two
lines""")
class Svc:
    """The class says this."""

    @bentoml.api
    def hello(self) -> str:
        return ''
