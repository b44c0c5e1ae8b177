# service: service:Svc
# unknown: labels, config.traffic.timeout
# also with: TIER=gold
import os

import bentoml
import values

if os.environ.get("TIER"):
    import changes  # noqa: F401


@bentoml.service(labels=values.LABELS, traffic={"timeout": values.TIMEOUT})
class Svc: ...
