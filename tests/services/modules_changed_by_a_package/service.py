# service: service:Svc
# unknown: service
import bentoml
from settings.values import IMAGE, LABELS


@bentoml.service(labels=LABELS, image=IMAGE)
class Svc: ...
