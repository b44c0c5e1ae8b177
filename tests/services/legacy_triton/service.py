# service: service:svc
# unknown: service
import bentoml

runner = bentoml.triton.Runner("Triton_runner", "./model_repository")
svc = bentoml.legacy.Service("tri", runners=[runner])
