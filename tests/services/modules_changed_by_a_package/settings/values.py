import bentoml

LABELS = {"team": "a"}
IMAGE = bentoml.images.Image(python_version="3.11")
