"""HTTP for all who speak it: connections, TLS, proxies, retries, parallel transfers, progress.

It knows nothing of registries, stores or Bentos.
"""
