"""Providers that check the types of their fields."""

_TYPES = {
    "File": "File",
    "bool": "bool",
    "depset": "depset",
    "dict": "dict",
    "int": "int",
    "str": "string",
    "tuple": "tuple",
}

def _types(doc):
    """Returns the types of a field, which its documentation begins with: `str - …`, `tuple[str|File] - …`, `File - …; None …`."""
    name = doc.partition(" - ")[0].partition("[")[0]
    return [_TYPES[name]] + (["NoneType"] if "None " in doc else [])

def typed_provider(name, *, doc, fields, defaults = {}):
    """Defines a provider that requires each of its fields, rejects others, and checks the type of each.

    Args:
      name: name of the provider, for errors.
      doc: documentation of the provider.
      fields: dict of field to its documentation, which begins with the type.
      defaults: dict of values of optional fields.

    Returns:
      A provider.
    """
    types = {field: _types(field_doc) for field, field_doc in fields.items()}

    def init(**values):
        values = defaults | values
        for field in values:
            if field not in types:
                fail("{}: unknown field {}. Valid fields: {}".format(name, field, ", ".join(types)))
        for field, allowed in types.items():
            if field not in values:
                fail("{}: missing field {}. Set it: {}".format(name, field, fields[field]))
            if type(values[field]) not in allowed:
                fail("{}: {} is {}, a {}. Set it to a {}: {}".format(
                    name,
                    field,
                    repr(values[field]),
                    type(values[field]),
                    " or ".join(allowed),
                    fields[field],
                ))
        return values

    provider_type, _ = provider(doc = doc, fields = fields, init = init)
    return provider_type
