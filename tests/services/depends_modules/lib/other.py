import bentoml


@bentoml.service
class Other:
    @bentoml.api
    def go_other(self) -> int:
        return 1
