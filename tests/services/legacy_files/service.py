# service: service:svc
# unknown: service
import bentoml
from bentoml.io import JSON, File

svc = bentoml.legacy.Service("files")


@svc.api(input=File(), output=JSON())
def measure(file):
    return len(file.read())


@svc.api(input=bentoml.io.File.from_sample("service.py"), output=File(mime_type="text/plain"))
def echo(file):
    return file
