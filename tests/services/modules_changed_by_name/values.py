LABELS = {"team": "a"}
