# service: service:Svc
# unknown: service, config, models, labels, envs, image, description
import bentoml
from lib import *
from lib import Second


@bentoml.service(name=NAME)
class Svc:
    first = bentoml.depends(First)
    second = bentoml.depends(Second)
