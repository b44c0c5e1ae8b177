"""Makes providers that check the types that the documentation of their fields states."""

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
    """Returns the types of a field, which begin its documentation: `str - …`, `tuple[str|File] - …`, `File - …; None …`."""
    stated = doc.partition(" - ")[0].partition("[")[0]
    return [_TYPES[stated]] + (["NoneType"] if "None " in doc else [])

def checked(name, fields, defaults = {}):
    """Makes the `init` of a provider, which checks that all fields are given, no others, and each of its type.

    Args:
      name: of the provider.
      fields: dict of its fields to their documentation, which begins with the type.
      defaults: dict of the values of fields that may be left out.

    Returns:
      A function.
    """
    types = {field: _types(doc) for field, doc in fields.items()}

    def init(**values):
        values = defaults | values
        for field in values:
            if field not in types:
                fail("{} has no field {}: it has {}".format(name, field, ", ".join(types)))
        for field, allowed in types.items():
            if field not in values:
                fail("{} lacks {}: {}".format(name, field, fields[field]))
            if type(values[field]) not in allowed:
                fail("{}: {} is {}, a {}, where a {} belongs: {}".format(
                    name,
                    field,
                    repr(values[field]),
                    type(values[field]),
                    " or ".join(allowed),
                    fields[field],
                ))
        return values

    return init
