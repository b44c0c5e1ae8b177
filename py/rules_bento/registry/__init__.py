"""OCI registries and layouts: what the distribution and image specifications say, over the standard library.

`push`, `pull` and `artifact` are what others call; `client` is the API of a registry, request by request.
"""
