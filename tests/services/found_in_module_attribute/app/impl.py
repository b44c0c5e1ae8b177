import bentoml


@bentoml.service(name='impl')
class Impl:

    @bentoml.api
    def hello(self, name: str = "x") -> str:
        return name
