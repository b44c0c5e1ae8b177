# service: service:Svc
# unknown: labels, image
import bentoml
from settings.values import IMAGE, LABELS


@bentoml.service(labels=LABELS, image=IMAGE)
class Svc: ...
