"""Defines the index attributes of package hubs and locks, and their conversion for uv.

The attributes don't contain credentials. uv reads credentials from netrc, from `UV_INDEX_<NAME>_USERNAME` and
`UV_INDEX_<NAME>_PASSWORD`, from uv's credential store, or from the keyring."""

INDEX_ATTRIBUTES = {
    "explicit": attr.string_dict(
        doc = "Packages to get only from one index, from package to the name of an entry in `indexes`, which no " +
              "other package uses.",
    ),
    "find_links": attr.string_list(
        doc = "Directories (relative to the workspace root) with package files, and URLs of pages that list " +
              "package files.",
    ),
    "index_url": attr.string(doc = "Default index. Default: the index in uv's configuration."),
    "indexes": attr.string_list(doc = "Indexes that precede the default index: URLs, or `NAME=URL`."),
    "no_index": attr.bool(doc = "Whether to use only `find_links`."),
    "trusted_hosts": attr.string_list(doc = "Hosts whose TLS certificates aren't verified."),
}

def encode_indexes(attributes):
    """Returns the index attributes of a tag or of `ctx.attr` as a JSON string. Empty if no attribute is set."""
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
    """Makes directories in `find_links` of encoded indexes absolute.

    They are relative to the root of the repository with the lock.
    """
    root = lock.dirname
    for _ in [part for part in label.package.split("/") if part]:
        root = root.dirname
    values = json.decode(indexes)
    links = [
        link if "://" in link or link.startswith("/") else "{}/{}".format(root, link)
        for link in values["find_links"]
    ]
    return json.encode(values | {"find_links": links})

def explicit_indexes(explicit):
    """Returns a dict of normalized package name to name of its index. `explicit` is the attribute of a tag."""
    return {name.lower().replace("_", "-").replace(".", "-"): index for name, index in explicit.items()}

def indexes_of_package(indexes, package):
    """Returns the encoded indexes for a package: its explicit index or, without one, all that aren't explicit.

    Requires valid attributes.
    """
    if not indexes:
        return ""
    values = json.decode(indexes)
    explicit = explicit_indexes(values.pop("explicit", {}))
    if package in explicit:
        shared = {key: values[key] for key in ["trusted_hosts"] if key in values}
        [entry] = [entry for entry in values["extra"] if entry.startswith(explicit[package] + "=")][:1]
        return json.encode(shared | {"default": entry})
    values["extra"] = [entry for entry in values.get("extra", []) if entry.partition("=")[0] not in explicit.values()]
    return json.encode(values)
