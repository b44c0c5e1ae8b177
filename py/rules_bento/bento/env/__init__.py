"""Renders the files of a Bento's `env/`, equivalent to BentoML's, without importing the service.

`python` renders the requirements and install.sh, `conda` environment.yml, `dockerfile` the Dockerfile, `template` a
user's Dockerfile template, and `entrypoint` the entry point of containers.
"""
