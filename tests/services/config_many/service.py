# service: service:Svc
# unknown: config.backlog
import bentoml

MB = 1024 * 1024


@bentoml.service(
    resources={'cpu': '500m', 'memory': '2Gi', 'gpu': 1, 'gpu_type': 'nvidia-l4'},
    traffic={'timeout': 60 * 2, 'max_concurrency': 32, 'concurrency': 16},
    workers=2,
    threads=4,
    metrics={'enabled': True, 'namespace': 'svc', 'duration': {'buckets': [0.1, 0.5, 1.0]}},
    logging={'access': {'enabled': False, 'skip_paths': ['/livez']}},
    http={'port': 3001, 'cors': {'enabled': True, 'access_control_allow_origins': ['*'], 'access_control_max_age': 600}},
    backlog=MB // 512,
)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
