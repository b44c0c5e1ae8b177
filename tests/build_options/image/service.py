"""A service with an image of its own."""

import bentoml

image = (
    bentoml.images.Image(python_version="3.12", distro="debian", lock_python_packages=False)
    .system_packages("curl", "libgomp1")
    .run("echo before")
    .requirements_file("requirements.txt")
    .python_packages("attrs")
    .run_script("setup.sh")
    .run("echo after")
)


@bentoml.service(image=image)
class Imaged:
    """Nothing."""
