# service: service:Svc
# unknown: members
import bentoml
from lib.base import Base


@bentoml.service
class Svc(Base):
    unused = None
