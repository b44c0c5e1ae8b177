# service: service:Exported
from app.impl import Impl as Exported
