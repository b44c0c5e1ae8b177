"""Rejects old public names. The error message contains the new name."""

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
    """Fails if a dict of attributes contains an old name."""
    for old, new in _ATTRIBUTES[kind].items():
        if old in attributes:
            fail("{}(name = \"{}\"): {} was renamed. Use {}.".format(kind, attributes.get("name"), old, new))

def reject_old_attributes(kind, rule):
    """Returns a macro that instantiates a rule and rejects old attributes. (Bazel 7 doesn't support `initializer` in custom rules.)"""

    def declare(**attributes):
        reject_renamed(kind, attributes)
        rule(**attributes)

    return declare

def renamed(old, new):
    """Returns a function with the old name of a rule or function. The function fails with an error that contains the new name."""
    return lambda *_args, **_kwargs: fail("{} was renamed. Use {}.".format(old, new))
