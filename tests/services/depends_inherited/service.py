# service: service:Svc
# unknown: service
import bentoml
from lib.base import Base


@bentoml.service
class Svc(Base):
    unused = None
