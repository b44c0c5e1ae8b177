"""Defines the functions in `image_step`, which are named after the methods of `bentoml.images.Image`."""

def _step(kind, *values):
    for value in values:
        if type(value) != "string":
            fail("image_step.{}: expected strings, got {}. Write each argument as a string.".format(kind, type(value)))
    return json.encode([kind] + list(values))

def _build_include(*paths):
    """Copies files from the Bento's `src/` into the image before the installation of Python packages, which can read these files."""
    return _step("build_include", *paths)

def _pyproject_toml(path = "pyproject.toml"):
    """Installs the Python packages in `project.dependencies` of a pyproject.toml."""
    return _step("pyproject_toml", path)

def _python_packages(*packages):
    """Installs Python packages. Each argument is a requirement (PEP 508)."""
    return _step("python_packages", *packages)

def _requirements_file(path):
    """Installs the Python packages in a requirements file."""
    return _step("requirements_file", path)

def _run(command):
    """Runs a shell command. If an earlier step adds Python packages, the command runs after the installation of all Python packages."""
    return _step("run", command)

def _run_script(path):
    """Runs a script at the same point of the build as a command of `run`."""
    return _step("run_script", path)

def _system_packages(*packages):
    """Installs packages of the Linux distribution."""
    return _step("system_packages", *packages)

def _uv_lock():
    """Installs the Python packages in the uv.lock of the build context. Has no effect if the Bento uses a package hub."""
    return _step("uv_lock")

def _wheels(*paths):
    """Installs Python packages from wheel files. BentoML's `Image` has no such method."""
    return _step("wheels", *paths)

image_step = struct(
    build_include = _build_include,
    pyproject_toml = _pyproject_toml,
    python_packages = _python_packages,
    requirements_file = _requirements_file,
    run = _run,
    run_script = _run_script,
    system_packages = _system_packages,
    uv_lock = _uv_lock,
    wheels = _wheels,
)

def decode_steps(label, steps):
    """Decodes strings of functions in `image_step` to lists: a step's kind, then its arguments. Fails for other strings."""
    decoded = [json.decode(step, default = None) for step in steps]
    for step, values in zip(steps, decoded):
        if type(values) != "list":
            fail("{}: invalid step {}. Use a function of image_step, such as image_step.run(\"...\").".format(label, repr(step)))
    return decoded
