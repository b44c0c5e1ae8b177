import bentoml


@bentoml.service
class First:
    @bentoml.api
    def go_first(self) -> int:
        return 1


@bentoml.service
class Second: ...
