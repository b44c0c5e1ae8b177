from .settings import OWNER

TEAM = OWNER + "-team"
