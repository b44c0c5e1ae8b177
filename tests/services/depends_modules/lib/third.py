import bentoml


@bentoml.service
class Third:
    @bentoml.api
    def go_third(self) -> int:
        return 1
