"""Rejects old public names with an error that names the new one."""

# Renamed attributes, by rule.
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
    """Fails for a renamed attribute in a dict of attributes."""
    for old, new in _ATTRIBUTES[kind].items():
        if old in attributes:
            fail("{}(name = \"{}\"): {} was renamed. Use {}.".format(kind, attributes.get("name"), old, new))

def reject_old_attributes(kind, rule):
    """Returns a macro that declares a rule and rejects its old attributes. Bazel 7 reserves `initializer` of `rule` for its own rules."""

    def declare(**attributes):
        reject_renamed(kind, attributes)
        rule(**attributes)

    return declare

def renamed(old, new):
    """Returns a function that fails, for a renamed rule or function."""
    return lambda *_args, **_kwargs: fail("{} was renamed. Use {}.".format(old, new))
