import bentoml


@bentoml.service
class Fourth:
    @bentoml.api
    def go_fourth(self) -> int:
        return 1
