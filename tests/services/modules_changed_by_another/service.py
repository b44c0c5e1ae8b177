# service: service:Svc
# unknown: service
import bentoml
import changes  # noqa: F401
import copies
from values import LABELS, Limits


@bentoml.service(labels=LABELS, envs=copies.ENVS, traffic={"timeout": Limits.TIMEOUT})
class Svc: ...
