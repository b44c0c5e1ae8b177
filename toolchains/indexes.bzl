"""Where packages come from: attributes that hubs and locks share, and what uv is told of them.

Credentials have no place here: uv finds them in netrc, in `UV_INDEX_<NAME>_USERNAME` and `UV_INDEX_<NAME>_PASSWORD`, in its
own store, or in the keyring.
"""

INDEX_ATTRIBUTES = {
    "explicit": attr.string_dict(doc = "Package to the name of the entry of `indexes` that it comes from. Such an index serves these packages and no other."),
    "find_links": attr.string_list(doc = "Folders (from the root of the workspace) and pages with files of packages."),
    "index_url": attr.string(doc = "The default index. Default: the one that uv is set up for."),
    "indexes": attr.string_list(doc = "Further indexes, `NAME=address` or a mere address, asked before the default one."),
    "no_index": attr.bool(doc = "Whether only `find_links` count."),
    "trusted_hosts": attr.string_list(doc = "Hosts whose certificates are not verified."),
}

def encode_indexes(attributes):
    """Writes the attributes as the helper reads them.

    Args:
      attributes: the tag, or `ctx.attr`.

    Returns:
      JSON; empty where all attributes are.
    """
    values = {
        "default": attributes.index_url,
        "explicit": attributes.explicit,
        "extra": attributes.indexes,
        "find_links": attributes.find_links,
        "no_index": attributes.no_index,
        "trusted_hosts": attributes.trusted_hosts,
    }
    values = {key: value for key, value in values.items() if value}
    return json.encode(values) if values else ""

def indexes_at(lock, label, indexes):
    """Says where the folders of `find_links` are: they are from the root of the repository that has the lock.

    Args:
      lock: path of the lock.
      label: of the lock.
      indexes: what `encode_indexes` returned.

    Returns:
      JSON, of the same form.
    """
    root = lock.dirname
    for _ in [part for part in label.package.split("/") if part]:
        root = root.dirname
    values = json.decode(indexes)
    links = [link if "://" in link or link.startswith("/") else "{}/{}".format(root, link) for link in values["find_links"]]
    return json.encode(values | {"find_links": links})

def indexes_of_package(indexes, package):
    """Returns the indexes that count for one package: its explicit one alone, or all but the explicit ones.

    Args:
      indexes: what `encode_indexes` returned.
      package: its normalized name.

    Returns:
      JSON; empty for what uv is set up for.
    """
    if not indexes:
        return ""
    values = json.decode(indexes)
    explicit = {name.lower().replace("_", "-").replace(".", "-"): index for name, index in values.pop("explicit", {}).items()}
    if package in explicit:
        kept = {key: values[key] for key in ["trusted_hosts"] if key in values}
        found = [entry for entry in values["extra"] if entry.startswith(explicit[package] + "=")]
        if not found:
            fail("explicit: {} is to come from the index '{}', which indexes does not have".format(package, explicit[package]))
        return json.encode(kept | {"default": found[0]})
    values["extra"] = [entry for entry in values.get("extra", []) if entry.partition("=")[0] not in explicit.values()]
    return json.encode(values)
