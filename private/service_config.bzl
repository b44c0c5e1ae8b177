"""Defines the configuration of services in attributes."""

load(":attributes.bzl", "label_string")

def service_config(**config):
    """Encodes the configuration of a service, or a part of it, for the attribute `service_config` of `bento_package`.

    Args:
      **config: arguments of `@bentoml.service`, such as `workers = 4` and `traffic = {"timeout": 60}`. A `select` isn't
        supported as an argument. Use a `select` around the complete value of the attribute `service_config`.

    Returns:
      A JSON string.
    """
    for name, value in config.items():
        if type(value) == "select":
            fail("service_config({0} = select(...)) isn't supported. Use service_config = select({{...: {{\"Service\": service_config({0} = ...)}}}}).".format(name))
    return json.encode(config)

def service_configs(ctx):
    """Returns the attribute `service_config` of bento_package. Fails if a value isn't a JSON object."""
    for service, text in ctx.attr.service_config.items():
        if type(json.decode(text, default = None)) != "dict":
            fail("{}: invalid service_config for {}: {}. Use service_config(...).".format(label_string(ctx.label), repr(service), repr(text)))
    return ctx.attr.service_config
