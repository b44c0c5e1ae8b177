"""Transitions of the flag `//rules:wheels`, which selects the files that packages of package hubs provide.

A Bento declares packages; a test needs their modules, an image their wheels. Bazel fetches all packages of a configured attribute, so each
use has its own configuration:

- `auto`: packages provide their modules, for any target with them in `deps`;
- `metadata`: a Bento's packages are only declared (with the feature `bento_stated`, which tools in actions don't have);
- `import`: as `metadata`, but BentoML provides its modules;
- `modules`: as `auto`, also for the packages that a Bento declares;
- `files`: packages provide their wheels, also those that a Bento declares."""

_FLAG = "//rules:wheels"
_PYTHON_VERSION = "//rules:python_version"
_PREFIX = "//rules:prefix"
_BYTECODE = "//rules:bytecode"
_HOST_PLATFORM = "//command_line_option:host_platform"
_PLATFORMS = "//command_line_option:platforms"

# Path of the environment in an image, as in BentoML's images.
ENVIRONMENT = "/app/.venv"

# Tools of rules that generate a library need their packages even if the library only declares its own.
_FEATURES = "//command_line_option:features"
_STATED = "bento_stated"

def _metadata_only_impl(settings, attr):
    mode = settings[_FLAG]
    imported = getattr(attr, "service_metadata", "static") == "import"
    if mode == "auto" or (imported and mode == "metadata"):
        mode = "import" if imported else "metadata"
    features = [feature for feature in settings[_FEATURES] if feature != _STATED]
    return {_FEATURES: features + [_STATED], _FLAG: mode}

# For attributes whose packages are only declared, BentoML provides its modules if `service_metadata` of the rule is `import`.
metadata_only_cfg = transition(implementation = _metadata_only_impl, inputs = [_FEATURES, _FLAG], outputs = [_FEATURES, _FLAG])

def _import_packages_impl(settings, attr):
    mode = _metadata_only_impl(settings, attr)
    return mode | {_FLAG: "modules"} if mode[_FLAG] == "import" else mode

# For the packages that a service is imported with.
import_packages = transition(implementation = _import_packages_impl, inputs = [_FEATURES, _FLAG], outputs = [_FEATURES, _FLAG])

def _metadata_plus(mode):
    return transition(
        implementation = lambda settings, _attr: {"packages": {_FLAG: mode}, "metadata": {_FLAG: settings[_FLAG]}},
        inputs = [_FLAG],
        outputs = [_FLAG],
    )

# For attributes with a Bento whose packages are also needed: `metadata` is the common configuration of the Bento; rules read only the
# requirements of `packages`, so that no action of a Bento runs twice.
metadata_plus_modules_cfg = _metadata_plus("modules")

# As `metadata_plus_modules_cfg`, for an import of the Bento's service: `packages` has the modules that the import needs.
metadata_plus_imported_cfg = _metadata_plus("import")

def _metadata_plus_files_impl(settings, attr):
    packages = {_BYTECODE: "none", _FLAG: "files", _PREFIX: attr.prefix}
    bytecode = {"bytecode": packages | {_BYTECODE: attr.bytecode}} if attr.bytecode != "none" else {}
    return bytecode | {"packages": packages, "metadata": {_BYTECODE: "none", _FLAG: settings[_FLAG], _PREFIX: ENVIRONMENT}}

# For images, with the attributes `prefix` and `bytecode` of the rule. Bytecode has a separate configuration, so that images with and
# without bytecode share the layers of wheels.
metadata_plus_files_cfg = transition(implementation = _metadata_plus_files_impl, inputs = [_FLAG], outputs = [_BYTECODE, _FLAG, _PREFIX])

def _metadata_plus_licenses_impl(settings, attr):
    has_license_rules = attr.allow_licenses or attr.deny_licenses
    return {"metadata": {_FLAG: settings[_FLAG]}} | ({"packages": {_FLAG: "files"}} if has_license_rules else {})

# For a policy, which reads licenses from wheels: `packages` exists only if the rule's attributes name licenses, so that no other policy
# fetches a wheel.
metadata_plus_licenses_cfg = transition(implementation = _metadata_plus_licenses_impl, inputs = [_FLAG], outputs = [_FLAG])

def _always(mode):
    """Returns a transition to one configuration, independent of the surrounding target."""
    return transition(
        implementation = lambda _settings, _attr: {_BYTECODE: "none", _FLAG: mode, _PREFIX: ENVIRONMENT, _PYTHON_VERSION: ""},
        inputs = [],
        outputs = [_BYTECODE, _FLAG, _PREFIX, _PYTHON_VERSION],
    )

# For the helper and its interpreter.
modules_cfg = _always("modules")

# For the helper's own packages, which are packed from their wheels.
wheels_cfg = _always("files")

# For generated files: their generators run in the toolchain's Python, independent of the Bento.
reset_cfg = _always("auto")

# For programs of `bazel run`: the host platform, in one configuration.
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
