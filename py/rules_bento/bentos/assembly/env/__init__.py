"""Renders the `env/` directory of a Bento without importing the service. The result is equivalent to BentoML's.

`spec1` and `spec2` are BentoML's two formats. `python` renders the requirements and install.sh, `dockerfile` renders
the Dockerfile, and `template` renders a Dockerfile template of the project.
"""
