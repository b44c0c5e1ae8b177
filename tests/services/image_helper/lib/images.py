from bentoml.images import Image


def base_image(*packages):
    image = Image(python_version='3.12')
    image.python_packages('idna', *packages)
    return image
