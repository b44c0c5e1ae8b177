"""Defines the option groups of a bentofile (`conda`, `docker`, and `python`), and the configuration of services."""

load("//rules:providers.bzl", "BentoOptionsInfo", GROUPS = "OPTION_GROUPS")
load(":attributes.bzl", "label_string")

_UNSET = -1

# Attributes of `bento_package`.
OPTION_GROUPS = {
    group: attr.label(doc = "Options for {}: a `bento_{}_options` target.".format(doc, group), providers = [BentoOptionsInfo])
    for group, doc in {"conda": "conda packages", "docker": "the image that `bentoml containerize` builds", "python": "the installation of Python packages in the image"}.items()
}

def switch(doc):
    """Returns an attribute for a boolean option that can be unset."""
    return attr.int(default = _UNSET, doc = doc + " `1` (yes), `0` (no), or `-1` (default: the bentofile's value).", values = [_UNSET, 0, 1])

def option_values(ctx, attributes):
    """Returns a dict of the options that a target sets. The keys of `attributes` are the names of all options, the same as in BentoML."""
    values = {name: getattr(ctx.attr, name) for name in attributes}
    values = {name: value for name, value in values.items() if (value != _UNSET if type(value) == "int" else value)}
    return {name: bool(value) if type(value) == "int" else value for name, value in values.items()}

def _options(ctx, group):
    target = getattr(ctx.attr, group)
    info = target[BentoOptionsInfo]
    if info.group != group:
        fail("{0}: {1} must be a bento_{1}_options target, but {2} is a bento_{3}_options target. Set {3} = \"{2}\".".format(label_string(ctx.label), group, label_string(target.label), info.group))
    return info.options

def option_groups(ctx):
    """Returns the options of a target with the attributes `OPTION_GROUPS`, as a dict of options for each group."""
    return {group: _options(ctx, group) for group in GROUPS if getattr(ctx.attr, group)}

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
    """Validates the attribute `service_config` of bento_package, and returns its value. Fails if a value isn't a JSON object.

    Args:
      ctx: context of bento_package.

    Returns:
      A dict of service name to the service's configuration as a JSON string.
    """
    for service, text in ctx.attr.service_config.items():
        if type(json.decode(text, default = None)) != "dict":
            fail("{}: invalid service_config for {}: {}. Use service_config(...).".format(label_string(ctx.label), repr(service), repr(text)))
    return ctx.attr.service_config
