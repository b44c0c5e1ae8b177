import copies  # noqa: F401
from values import ENVS, LABELS, Limits


def add(labels):
    labels["tier"] = "gold"


add(LABELS)
ENVS.append({"name": "LATE", "value": "1"})
Limits.TIMEOUT = 4
