import bentoml


@bentoml.service
class Shared: ...
