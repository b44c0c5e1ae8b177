"""Defines functions that format text for BUILD files and messages."""

# Characters that end a URL in a message.
_ENDS = [" ", "\t", "\n", "\"", "'", "`", "<", ">", ")"]

def build_text(template, text = {}, **values):
    """Returns a template of a BUILD file with its placeholders replaced.

    Literals for `values`, and unchanged expressions for `text`.
    """

    # Only this function inserts external strings into BUILD files. It quotes the strings, so a template has no
    # quotation marks around placeholders.
    return template.format(**({name: repr(value) for name, value in values.items()} | text))

# Visibility of targets that other repositories use.
PUBLIC = ["//visibility:public"]

def target_text(kind, text = {}, **values):
    """Returns the text of a target for a BUILD file: a call of the rule or function `kind`.

    For `values` and `text`, see `build_text`.
    """
    names = list(values) + list(text)
    return build_text(
        "\n{}(\n{})\n".format(kind, "".join(["    {0} = {{{0}}},\n".format(name) for name in names])),
        text,
        **values
    )

def load_text(file, *names):
    """Returns the text that loads `names` from `file`, such as `private:hub_rules.bzl`, in a BUILD file."""
    return "load({})\n".format(", ".join([repr(word) for word in ["@rules_bento//" + file] + list(names)]))

def metadata_text(rctx, purls):
    """Returns the first lines of a BUILD file, which declare package URLs by target name.

    Empty without `package_metadata_bzl`.
    """
    if not rctx.attr.package_metadata_bzl:
        return ""
    targets = [target_text("package_metadata", name = name, purl = purl) for name, purl in purls.items()]
    return build_text(
        "load({macro}, \"package_metadata\")\n",
        macro = str(rctx.attr.package_metadata_bzl),
    ) + "".join(targets)

def platform_cases(values):
    """Returns a dict of the settings in //toolchains/platforms to `values`, whose keys are platforms."""
    return {"@rules_bento//toolchains/platforms:is_" + key: value for key, value in values.items()}

def select_text(values, no_match):
    """Returns the text of a `select` over the settings in //toolchains/platforms.

    `no_match` is the error message for other platforms.
    """
    return "select({}, no_match_error = {})".format(repr(platform_cases(values)), repr(no_match))

def failing_text(names, problem):
    """Returns the text of a BUILD file whose targets fail in the analysis with an error.

    A failing repository rule would also break `bazel query`.
    """
    targets = [
        target_text("failing_target", name = name, problem = problem, tags = ["manual"], visibility = PUBLIC)
        for name in names
    ]
    return load_text("private:hub_rules.bzl", "failing_target") + "".join(targets)

def url_problem(attribute, url):
    """Returns an error if a URL in a tag isn't a plain http or https URL, or None.

    A plain URL contains no line break, and no outer spaces.
    """
    if not url.startswith(("http://", "https://")) or url.strip() != url or "\n" in url:
        return "invalid {} {}. Use an http:// or https:// URL.".format(attribute, repr(without_secrets(url)))
    return None

def without_secrets(text):
    """Removes user names, passwords, and queries, which might contain a token, from the URLs in a message."""
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
