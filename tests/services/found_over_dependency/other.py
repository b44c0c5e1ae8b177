import bentoml


@bentoml.service
class Other: ...
