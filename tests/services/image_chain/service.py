# service: service:Svc
import bentoml

image = (
    bentoml.images.Image(python_version='3.11', distro='debian')
    .system_packages('curl', 'git')
    .run('echo before')
    .python_packages('numpy', 'idna>=3')
    .run('echo after')
    .build_include('data/')
)


@bentoml.service(image=image)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
