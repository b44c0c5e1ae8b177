"""Defines errors for old names of rules, functions, and attributes. The errors contain the new names."""

# Rule to the old and new names of its attributes.
_PACKAGE = {
    "facts": "service_metadata, with \"static\" instead of \"read\"",
    "facts_env": "import_env",
    "stated_in_full": "complete_metadata",
    "unchecked_libraries": "ignore_libraries",
}
_ATTRIBUTES = {
    "bento_deb_layer": {"lower": "base"},
    "bento_deployment": {"read_only": "read_only_root_filesystem", "start_seconds": "startup_timeout_seconds", "writable": "writable_dirs"},
    "bento_export": {"command": "bento_command", "to": "destination"},
    "bento_image": {
        "provided": "ignore_system_requirements",
        "start_profile": "startup_trace",
        "unchecked_libraries": "ignore_libraries",
        "wheel_layers": "max_wheel_layers",
    },
    "bento_load": {"tool": "backend"},
    "bento_package": _PACKAGE,
    "bento_policy_test": {"refuse_unhashed": "require_hashes"},
    "bento_service": _PACKAGE | {"facts": "service_metadata_test"},
    "bento_startup_trace": {"ready": "readiness_path", "timeout_seconds": "startup_timeout_seconds"},
    "bento_venv": {"folder": "directory"},
    "bento_wheel": {"size": "size_bytes"},
}

def reject_renamed(kind, attributes):
    """Fails if `attributes`, a dict for the rule or macro `kind`, contains an old name of an attribute."""
    for old, new in _ATTRIBUTES[kind].items():
        if old in attributes:
            fail("{}(name = \"{}\"): {} was renamed. Use {}.".format(kind, attributes.get("name"), old, new))

def reject_old_attributes(kind, rule):
    """Returns a macro that instantiates `rule` and rejects old names of attributes. (Bazel 7 has no `initializer` for custom rules.)"""

    def declare(**attributes):
        reject_renamed(kind, attributes)
        rule(**attributes)

    return declare

def renamed(old, new):
    """Returns a function that always fails, for the old name of a rule or function. The error contains the new name."""
    return lambda *_args, **_kwargs: fail("{} was renamed. Use {}.".format(old, new))
