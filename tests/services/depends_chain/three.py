import bentoml


@bentoml.service
class Three:
    @bentoml.api
    def go_three(self) -> int:
        return 1
