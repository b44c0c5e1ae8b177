# service: service.py
import bentoml

svc = bentoml.legacy.Service('alone')
