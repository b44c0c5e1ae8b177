"""The groups of options of a bentofile: `conda`, `docker` and `python`, each a target of a rule of its own."""

load("//rules:providers.bzl", "BentoOptionsInfo", GROUPS = "OPTION_GROUPS")

_UNSET = -1

# Attributes of `bento_package`.
OPTION_GROUPS = {
    group: attr.label(
        doc = "{}: a `bento_{}_options`.".format(doc, group),
        providers = [BentoOptionsInfo],
    )
    for group, doc in {
        "conda": "What conda installs",
        "docker": "The image that `bentoml containerize` makes",
        "python": "How Python packages are installed in the image",
    }.items()
}

def switch(doc):
    """Makes an attribute for an option that is on, off, or left to others.

    Args:
      doc: what it says of the option.

    Returns:
      An attribute.
    """
    return attr.int(default = _UNSET, doc = doc + " 1 for yes, 0 for no, -1 for what the bentofile says.", values = [_UNSET, 0, 1])

def option_values(ctx, attributes):
    """Returns the options that a target sets.

    Args:
      ctx: context of a rule with the attributes.
      attributes: dict by name; those of `switch` are integers.

    Returns:
      A dict by BentoML's names, which are those of the attributes.
    """
    options = {}
    for name in attributes:
        value = getattr(ctx.attr, name)
        if type(value) == "int":
            if value != _UNSET:
                options[name] = bool(value)
        elif value:
            options[name] = value
    return options

def option_groups(ctx):
    """Returns the groups that a target has.

    Args:
      ctx: context of a rule with the attributes of `OPTION_GROUPS`.

    Returns:
      A dict from the name of a group to a dict of its options; groups that nobody set are not in it.
    """
    groups = {}
    for group in GROUPS:
        target = getattr(ctx.attr, group)
        if not target:
            continue
        info = target[BentoOptionsInfo]
        if info.group != group:
            fail("{0}: {1} is {2}, a bento_{3}_options. Set {3} = \"{2}\", or {1} to a bento_{1}_options".format(
                ctx.label,
                group,
                target.label,
                info.group,
            ))
        groups[group] = info.options
    return groups

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
