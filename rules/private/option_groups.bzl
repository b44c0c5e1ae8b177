"""The option groups of a bentofile, `conda`, `docker`, and `python`, each from a target, and the configuration of services."""

load("//rules:providers.bzl", "BentoOptionsInfo", GROUPS = "OPTION_GROUPS")

_UNSET = -1

# Attributes of `bento_package`.
OPTION_GROUPS = {
    group: attr.label(doc = "{}: a `bento_{}_options`.".format(doc, group), providers = [BentoOptionsInfo])
    for group, doc in {"conda": "Conda packages", "docker": "Image of `bentoml containerize`", "python": "Installation of Python packages in the image"}.items()
}

def switch(doc):
    """Returns an attribute for a boolean option with a third value for unset."""
    return attr.int(default = _UNSET, doc = doc + " 1 for yes, 0 for no, -1 (default) for the bentofile's value.", values = [_UNSET, 0, 1])

def option_values(ctx, attributes):
    """Returns the options that a target sets, a dict by BentoML's names, for attributes by name."""
    values = {name: getattr(ctx.attr, name) for name in attributes}
    values = {name: value for name, value in values.items() if (value != _UNSET if type(value) == "int" else value)}
    return {name: bool(value) if type(value) == "int" else value for name, value in values.items()}

def _options(ctx, group):
    target = getattr(ctx.attr, group)
    info = target[BentoOptionsInfo]
    if info.group != group:
        fail("{0}: {1} must be a bento_{1}_options, but {2} is a bento_{3}_options. Set {3} = \"{2}\" instead.".format(ctx.label, group, target.label, info.group))
    return info.options

def option_groups(ctx):
    """Returns the option groups of a target with the attributes of `OPTION_GROUPS`: group name to a dict of its options."""
    return {group: _options(ctx, group) for group in GROUPS if getattr(ctx.attr, group)}

def service_config(**config):
    """Returns the configuration of a service, or a part of it, for the attribute `service_config` of `bento_package`.

    Args:
      **config: arguments of `@bentoml.service`, such as `workers = 4` and `traffic = {"timeout": 60}`. Use a `select` around the
        dict of `service_config`, not as an argument.

    Returns:
      A string.
    """
    for name, value in config.items():
        if type(value) == "select":
            fail("service_config({0} = select(...)) isn't supported. Use service_config = select({{...: {{\"Service\": service_config({0} = ...)}}}}).".format(name))
    return json.encode(config)

def service_configs(ctx):
    """Returns the valid attribute `service_config` of bento_package.

    Args:
      ctx: context of bento_package.

    Returns:
      A dict of service name to the JSON of its configuration.
    """
    for service, text in ctx.attr.service_config.items():
        if type(json.decode(text, default = None)) != "dict":
            fail("{}: invalid service_config for {}: {}. Use service_config(...).".format(ctx.label, repr(service), repr(text)))
    return ctx.attr.service_config
