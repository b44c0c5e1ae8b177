"""Defines transitions of the flag `//rules:wheels`, which selects the files that packages in package hubs provide.

A Bento only declares packages, but a test requires the modules of the packages, and an image requires the wheels. Bazel fetches all packages in
the attributes of a configured target, so each use has a separate configuration. Values of the flag:

- `auto`: packages provide modules to targets with the packages in `deps`.
- `metadata`: a Bento only declares packages. Tools of actions get modules (see //toolchains/platforms:wheels).
- `import`: same as `metadata`, but BentoML provides modules.
- `modules`: packages also provide modules to Bentos.
- `files`: packages also provide wheels to Bentos."""

load(":deferred.bzl", "DEFERRED", "RESET")
load(":python_version.bzl", "PYTHON_INPUTS", "PYTHON_OUTPUTS", "RULES_PYTHON", "reset_python", "set_python")

_FLAG = "//rules:wheels"
_PYTHON_VERSION = "//rules:python_version"
_BYTECODE = "//rules:bytecode"
_HOST_PLATFORM = "//command_line_option:host_platform"
_PLATFORMS = "//command_line_option:platforms"

def _metadata_only_impl(settings, attr):
    mode = settings[_FLAG]
    imported = getattr(attr, "service_metadata", "static") == "import"
    if mode == "auto" or (imported and mode == "metadata"):
        mode = "import" if imported else "metadata"
    return {_FLAG: mode}

# Transition of attributes whose packages are only declared. BentoML provides modules if the rule's attribute `service_metadata` is `import`.
metadata_only_cfg = transition(implementation = _metadata_only_impl, inputs = [_FLAG], outputs = [_FLAG])

def _import_requirements_impl(settings, attr):
    mode = _metadata_only_impl(settings, attr)
    return {_FLAG: "modules"} if mode[_FLAG] == "import" else mode

# Transition of the attribute `import_requirements`, whose packages provide modules to the import of a service.
import_requirements_cfg = transition(implementation = _import_requirements_impl, inputs = [_FLAG], outputs = [_FLAG])

def _metadata_plus(mode):
    return transition(
        implementation = lambda settings, _attr: {"packages": {_FLAG: mode}, "metadata": {_FLAG: settings[_FLAG]}},
        inputs = [_FLAG],
        outputs = [_FLAG],
    )

# Split transition of Bento attributes in rules that require modules of packages. `metadata` is the common configuration of the Bento. In the
# configuration `packages`, rules read only the requirements, so that the actions of a Bento don't run twice.
metadata_plus_modules_cfg = _metadata_plus("modules")

# Split transition of Bento attributes in rules that import the service. The configuration `packages` has the modules that the import requires.
metadata_plus_imported_cfg = _metadata_plus("import")

def _metadata_plus_files_impl(settings, attr):
    packages = {_BYTECODE: "none", _FLAG: "files"}
    bytecode = {"bytecode": packages | {_BYTECODE: attr.bytecode}} if attr.bytecode != "none" else {}
    return bytecode | {"packages": packages, "metadata": {_BYTECODE: "none", _FLAG: settings[_FLAG]}}

# Split transition of the Bento attribute of images. Uses the attribute `bytecode`. Bytecode has a separate configuration, so that
# images with and without bytecode share the layers of wheels.
metadata_plus_files_cfg = transition(implementation = _metadata_plus_files_impl, inputs = [_FLAG], outputs = [_BYTECODE, _FLAG])

def _program_impl(settings, attr):
    stated = _metadata_only_impl(settings, attr)
    version = set_python(settings, attr.python_version)
    return {name: stated | version | of_package for name, of_package in _metadata_plus_files_impl(stated, attr).items()}

# For images of programs: as `metadata_plus_files_cfg`, in the configurations that the packages of a Bento have in its image.
program_cfg = transition(
    implementation = _program_impl,
    inputs = [_FLAG] + PYTHON_INPUTS,
    outputs = [_BYTECODE, _FLAG] + PYTHON_OUTPUTS,
)

# The defaults of these flags, with which tools share a configuration. Each further configuration with toolchains has more than 200 targets, because
# Bazel analyzes all registered toolchains in it.
_DEFAULTS = {_BYTECODE: "none", _FLAG: "auto", _PYTHON_VERSION: ""}

# Transition of the helper, its interpreter, and its third-party packages.
helper_cfg = transition(
    implementation = lambda settings, _attr: _DEFAULTS | reset_python(settings),
    inputs = PYTHON_INPUTS,
    outputs = [_BYTECODE, _FLAG] + PYTHON_OUTPUTS,
)

# As `helper_cfg`, for an interpreter of rules_python, in the version of the attribute.
interpreter_cfg = transition(
    implementation = lambda _settings, attr: _DEFAULTS | {RULES_PYTHON: attr.python_version},
    inputs = [],
    outputs = list(_DEFAULTS) + [RULES_PYTHON],
)

# Transition of the packages of the helper, which are packed from wheels.
wheels_cfg = transition(implementation = lambda _settings, _attr: {_FLAG: "files"}, inputs = [], outputs = [_FLAG])

# Transition of generated input files. The version of rules_python remains, with which their generators run.
reset_cfg = transition(implementation = lambda _settings, _attr: _DEFAULTS, inputs = [], outputs = list(_DEFAULTS))

# Transition of wheels that are built from source. Their build requirements provide modules, also if an image requires only the files of wheels.
# The other flags remain, because wheel_parts_aspect reads them.
built_wheel_cfg = transition(implementation = lambda _settings, _attr: RESET | {_FLAG: "auto"}, inputs = [], outputs = [DEFERRED, _FLAG])

def _host_impl(settings, _attr):
    return {_BYTECODE: "none", _FLAG: "modules", _PLATFORMS: str(settings[_HOST_PLATFORM])}

_OF_HOST = [_BYTECODE, _FLAG, _PLATFORMS]

# Transition of programs for `bazel run` to the host platform, in a single configuration. With the flag `auto`, this is usually the default one.
host_cfg = transition(
    implementation = lambda settings, attr: RESET | _host_impl(settings, attr) | {_FLAG: "auto"} | reset_python(settings),
    inputs = [_HOST_PLATFORM] + PYTHON_INPUTS,
    outputs = [DEFERRED] + _OF_HOST + PYTHON_OUTPUTS,
)

# As `host_cfg`, for packages of such programs, whose Python version remains.
host_packages_cfg = transition(implementation = _host_impl, inputs = [_HOST_PLATFORM], outputs = _OF_HOST)

# For the runtime of programs in the Python version of the configuration. The version of rules_python has an effect only with the flag `auto`.
host_python_cfg = transition(
    implementation = lambda settings, attr: RESET | _host_impl(settings, attr) | {_FLAG: "auto"},
    inputs = [_HOST_PLATFORM],
    outputs = [DEFERRED] + _OF_HOST,
)

# As `metadata_plus_modules_cfg`, for programs that run on the host platform.
metadata_plus_host_modules_cfg = transition(
    implementation = lambda settings, attr: {"packages": _host_impl(settings, attr), "metadata": {name: settings[name] for name in _OF_HOST}},
    inputs = _OF_HOST + [_HOST_PLATFORM],
    outputs = _OF_HOST,
)
