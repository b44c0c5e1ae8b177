def relabelled(service):
    class Inner(service.inner):
        """Runs a model, in other words."""

    service.inner = Inner
    service.labels["wrapped"] = "yes"
    return service
