"""Writes the wheels that hubs choose for real releases, to compare them with the choices of uv."""

load("//private/repositories:wheel_tags.bzl", "best_wheel")
load(":wheel_names.bzl", "WHEEL_NAMES")

_PYTHONS = ["3.12", "3.14"]

# The newest version of macOS, and of glibc on Linux, that a wheel can require.
_SYSTEMS = {
    "linux_arm64": ["2.17", "2.28", "2.39"],
    "linux_amd64": ["2.17", "2.28", "2.39"],
    "darwin_arm64": ["12.0", "14.0", "26.0"],
    "darwin_amd64": ["10.15", "12.0", "14.0", "26.0"],
}

# Among the wheels of each release is one that fits everywhere and is the last choice, so that no resolver fails.
_LAST = "py30-none-any"

def _choices(platform, system, python_version):
    chosen = {}
    for release, tags in WHEEL_NAMES.items():
        files = {"a-1-{}.whl".format(tag): tag for tag in tags + [_LAST]}
        chosen[release] = files[best_wheel(files.keys(), platform, python_version, system, system)]
    return struct(chosen = chosen, platform = platform, python_version = python_version, system = system)

def _wheel_choices_impl(ctx):
    output = ctx.actions.declare_file(ctx.label.name + ".json")
    ctx.actions.write(output, json.encode(struct(
        releases = {release: tags + [_LAST] for release, tags in WHEEL_NAMES.items()},
        targets = [
            _choices(platform, system, version)
            for platform, systems in _SYSTEMS.items()
            for system in systems
            for version in _PYTHONS
        ],
    )))
    return [DefaultInfo(files = depset([output]))]

wheel_choices = rule(
    implementation = _wheel_choices_impl,
    doc = "JSON of all releases, and of which of their wheels is chosen for each platform, system and Python.",
)
