"""Renders the files of a Bento's `env/`, which do what BentoML's do, without importing anything.

`python` has the requirements and install.sh, `conda` the environment of conda, `dockerfile` the Dockerfile, of which
`template` lets a user's Jinja2 template replace parts, `entrypoint` what a container starts.
"""
