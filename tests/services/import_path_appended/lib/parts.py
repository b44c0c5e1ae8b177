import bentoml

weights = bentoml.models.BentoModel("iris_clf:v1")
