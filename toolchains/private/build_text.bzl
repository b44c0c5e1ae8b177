"""Text of BUILD files, and of messages, with strings of others in it."""

# What is behind an address in a message.
_ENDS = [" ", "\t", "\n", "\"", "'", "`", "<", ">", ")"]

def build_text(template, text = {}, **values):
    """Fills in a template of a BUILD file.

    Strings of others enter BUILD files here alone: a template has no quotation marks around a place.

    Args:
      template: as `format` takes it.
      text: by name, text of our own: expressions such as a `select`, whose strings are quoted already.
      **values: by name; written as literals.

    Returns:
      A text.
    """
    return template.format(**({name: repr(value) for name, value in values.items()} | text))

def select_text(values, no_match):
    """Writes a `select` over platforms.

    Args:
      values: by the name of a setting of //toolchains/platforms.
      no_match: the error for another platform.

    Returns:
      A text for a BUILD file.
    """
    cases = {"@rules_bento//toolchains/platforms:" + key: value for key, value in values.items()}
    return "select({}, no_match_error = {})".format(repr(cases), repr(no_match))

def without_secrets(text):
    """Returns a text as people may see it: addresses without a user, a password or a query, which may hold a token.

    Args:
      text: a message, or an address.

    Returns:
      A text.
    """
    parts = text.split("://")
    shown = parts[0]
    for other in parts[1:]:
        address = other
        for end in _ENDS:
            address = address.partition(end)[0]
        authority, slash, path = address.partition("/")
        authority = authority.rpartition("@")[2].partition("?")[0]
        shown += "://" + authority + slash + path.partition("?")[0] + other[len(address):]
    return shown
