"""Evaluates BentoML's SDK in a service: its decorators, images, ASGI mounts, legacy services."""
