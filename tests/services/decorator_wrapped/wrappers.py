def renamed(suffix):
    def wrap(service):
        class Inner(service.inner):
            """Runs a model, in other words."""

            extra = 3

        Inner.__name__ = f"{service.inner.__name__}_{suffix}"
        service.inner = Inner
        return service

    return wrap
