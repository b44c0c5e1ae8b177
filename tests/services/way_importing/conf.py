import bentoml

NAME = 'imported'


@bentoml.service
class Other: ...
