# service: service:Svc
# unknown: service, config, models, labels, envs, image, description
import importlib

import bentoml

shared = importlib.import_module('shared_service')


@bentoml.service
class Svc:
    shared = bentoml.depends(shared.Shared)
