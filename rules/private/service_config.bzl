"""The configuration of services, where their source computes it."""

def service_config(**config):
    """Describes the configuration of a service, or the part that its source computes, as `bento.yaml` has it.

    Args:
      **config: arguments of `@bentoml.service`, such as `workers = 4` and `traffic = {"timeout": 60}`. A `select` stands
        around the dict of `service_config`, not in here.

    Returns:
      A value for a service in the attribute `service_config` of `bento_package`.
    """
    for name, value in config.items():
        if type(value) == "select":
            fail("service_config({0} = select(...)): a select has whole configurations: service_config = select({{...: {{\"Service\": service_config({0} = ...)}}}})".format(name))
    return json.encode(config)

def service_configs(ctx):
    """Reads the attribute `service_config`.

    Args:
      ctx: context of bento_package.

    Returns:
      A dict from the name of a service to the JSON of its configuration.
    """
    for service, text in ctx.attr.service_config.items():
        if type(json.decode(text, default = None)) != "dict":
            fail("{}: service_config of {} is {}. Write service_config(...)".format(ctx.label, repr(service), repr(text)))
    return ctx.attr.service_config
