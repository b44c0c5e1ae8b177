# service: service:Svc
import bentoml


@bentoml.service(
    image=bentoml.images.Image()
    .requirements_file('requirements.txt')
    .pyproject_toml()
    .run_script('setup.sh')
)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
