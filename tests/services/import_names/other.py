from bentoml import service


@service
class Other: ...
