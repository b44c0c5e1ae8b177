"""Renders the files of a Bento's `env/`, equivalent to BentoML's, without importing the service.

`spec1` and `spec2` are BentoML's two formats. `python` renders the requirements and install.sh, `dockerfile` the
Dockerfile, and `template` a user's Dockerfile template.
"""
