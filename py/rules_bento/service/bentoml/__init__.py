"""What BentoML's SDK means to a service: its decorators, its images, ASGI mounts, legacy services."""
