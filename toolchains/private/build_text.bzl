"""Strings in BUILD files and messages."""

# Ends of a URL in a message.
_ENDS = [" ", "\t", "\n", "\"", "'", "`", "<", ">", ")"]

def build_text(template, text = {}, **values):
    """Fills in a template of a BUILD file: `values` are written as literals, `text` has expressions whose strings are already quoted."""

    # No other function puts strings of others into BUILD files, so a template has no quotation marks around a placeholder.
    return template.format(**({name: repr(value) for name, value in values.items()} | text))

def select_text(values, no_match):
    """Returns a `select` over settings of //toolchains/platforms, for a BUILD file, with an error for other platforms."""
    cases = {"@rules_bento//toolchains/platforms:" + key: value for key, value in values.items()}
    return "select({}, no_match_error = {})".format(repr(cases), repr(no_match))

def check_url(where, attribute, url):
    """Fails for a URL of a tag with another scheme than http or https."""
    if not url.startswith(("http://", "https://")) or url.strip() != url or "\n" in url:
        fail("{}: invalid {} {}. Use an http:// or https:// URL.".format(where, attribute, repr(without_secrets(url))))

def without_secrets(text):
    """Removes users, passwords, and queries, which might have a token, from the URLs of a message.

    Args:
      text: a message or a URL.

    Returns:
      A string.
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
