LABELS = {"team": "a"}
TIMEOUT = 3
