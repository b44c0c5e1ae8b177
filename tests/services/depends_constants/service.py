# service: service:Svc
import bentoml

HOST = 'http://127.0.0.1'
PORT = 3000


@bentoml.service
class Svc:
    remote = bentoml.depends(url=f'{HOST}:{PORT + 1}')
