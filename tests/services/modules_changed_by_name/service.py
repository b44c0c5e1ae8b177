# service: service:Svc
# unknown: service
import importlib

import bentoml
from values import LABELS

for name in ("changes",):
    importlib.import_module(name)


@bentoml.service(labels=LABELS)
class Svc: ...
