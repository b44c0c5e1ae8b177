import bentoml
from two import Two


@bentoml.service(resources={'gpu': 1})
class One:
    two = bentoml.depends(Two)
