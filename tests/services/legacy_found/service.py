# service: service.py
# unknown: service
import bentoml

svc = bentoml.legacy.Service('alone')
