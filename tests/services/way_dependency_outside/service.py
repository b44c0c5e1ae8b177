# service: service:Svc
# unknown: service
import importlib

import bentoml

shared = importlib.import_module('shared_service')


@bentoml.service
class Svc:
    shared = bentoml.depends(shared.Shared)
