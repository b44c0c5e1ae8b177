"""One attribute, two graphs: what a Bento requires, and the files of it.

A Bento states packages; a test needs their modules, an image their wheels. Bazel fetches what a configured attribute
names, so what each needs is a configuration of its own, reached by a transition of the flag `//rules:wheels`:

- `auto`: packages bring their modules, for whatever has them in `deps`;
- `metadata`: packages are only stated (beside the feature `bento_stated`, which those do not have that run in actions);
- `modules`: as `auto`, also for those that a Bento states;
- `files`: packages bring their wheels, also those that a Bento states.
"""

_FLAG = "//rules:wheels"
_PYTHON_VERSION = "//rules:python_version"
_PREFIX = "//rules:prefix"
_BYTECODE = "//rules:bytecode"
_HOST_PLATFORM = "//command_line_option:host_platform"
_PLATFORMS = "//command_line_option:platforms"

# Where the environment lies in an image, as in BentoML's own.
ENVIRONMENT = "/app/.venv"

# Rules that generate a library run tools of their own, which need their packages even where the library only states its own.
_FEATURES = "//command_line_option:features"
_STATED = "bento_stated"

def _stated_only_impl(settings, attr):
    imported = getattr(attr, "service_metadata", "static") == "import"
    mode = settings[_FLAG]
    if mode == "auto" or (imported and mode == "metadata"):
        mode = "modules" if imported else "metadata"
    features = [feature for feature in settings[_FEATURES] if feature != _STATED]
    return {_FEATURES: features if imported else features + [_STATED], _FLAG: mode}

# For attributes whose packages are only stated, unless `service_metadata` of the rule has its service imported.
metadata_only_cfg = transition(
    implementation = _stated_only_impl,
    inputs = [_FEATURES, _FLAG],
    outputs = [_FEATURES, _FLAG],
)

def _metadata_plus(mode):
    return transition(
        implementation = lambda settings, _attr: {
            "packages": {_FLAG: mode},
            "metadata": {_FLAG: settings[_FLAG]},
        },
        inputs = [_FLAG],
        outputs = [_FLAG],
    )

# For attributes that take a Bento whose packages are needed too: `stated` is the Bento that everyone builds, of
# `packages` only the requirements are read, so that no action of a Bento runs twice.
metadata_plus_modules_cfg = _metadata_plus("modules")

def _stated_and_files_impl(settings, attr):
    packages = {_BYTECODE: "none", _FLAG: "files", _PREFIX: attr.prefix}
    bytecode = {"bytecode": packages | {_BYTECODE: attr.bytecode}} if attr.bytecode != "none" else {}
    return bytecode | {
        "packages": packages,
        "metadata": {_BYTECODE: "none", _FLAG: settings[_FLAG], _PREFIX: ENVIRONMENT},
    }

# For images, which say where the environment lies: the attributes `prefix` and `bytecode` of the rule. Byte code has a configuration of its own, so that images with
# it and without it share the layers of wheels.
metadata_plus_files_cfg = transition(
    implementation = _stated_and_files_impl,
    inputs = [_FLAG],
    outputs = [_BYTECODE, _FLAG, _PREFIX],
)

def _stated_and_licensed_impl(settings, attr):
    asked = attr.allow_licenses or attr.deny_licenses
    return {"metadata": {_FLAG: settings[_FLAG]}} | ({"packages": {_FLAG: "files"}} if asked else {})

# For a policy, which reads licences out of wheels: `packages` is there where the attributes of the rule name some, so
# that no other policy fetches a wheel.
metadata_plus_licenses_cfg = transition(
    implementation = _stated_and_licensed_impl,
    inputs = [_FLAG],
    outputs = [_FLAG],
)

def _always(mode):
    """Returns a transition to one configuration, whatever the target around asks of its packages."""
    return transition(
        implementation = lambda _settings, _attr: {_BYTECODE: "none", _FLAG: mode, _PREFIX: ENVIRONMENT, _PYTHON_VERSION: ""},
        inputs = [],
        outputs = [_BYTECODE, _FLAG, _PREFIX, _PYTHON_VERSION],
    )

# For the helper and the interpreter that it runs in.
modules_cfg = _always("modules")

# For the helper's own packages, which are packed out of their wheels.
wheels_cfg = _always("files")

# For what is made by programs: those run in the toolchain's Python, whatever the Bento is for.
reset_cfg = _always("auto")

# For programs that `bazel run` starts: on the machine of who does it, in one configuration of all that differs.
host_cfg = transition(
    implementation = lambda settings, _attr: {
        _BYTECODE: "none",
        _FEATURES: [feature for feature in settings[_FEATURES] if feature != _STATED],
        _FLAG: "modules",
        _PLATFORMS: str(settings[_HOST_PLATFORM]),
        _PREFIX: ENVIRONMENT,
        _PYTHON_VERSION: "",
    },
    inputs = [_FEATURES, _HOST_PLATFORM],
    outputs = [_BYTECODE, _FEATURES, _FLAG, _PLATFORMS, _PREFIX, _PYTHON_VERSION],
)
