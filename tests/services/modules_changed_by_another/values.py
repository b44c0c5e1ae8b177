LABELS = {"team": "a"}
ENVS = [{"name": "MODE", "value": "fast"}]


class Limits:
    TIMEOUT = 3
