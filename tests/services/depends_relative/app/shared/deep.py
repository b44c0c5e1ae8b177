import bentoml


@bentoml.service
class Deep:
    @bentoml.api
    def go_deep(self) -> int:
        return 1
