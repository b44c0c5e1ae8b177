"""What a tag `bento.pypi` may say: checked before anything is declared, for a hub would fail far from it."""

# As //toolchains/platforms names them.
PLATFORMS = ["linux_aarch64", "linux_x86_64", "macos_arm64", "macos_x86_64"]
PYTHON_VERSIONS = ["3.10", "3.11", "3.12", "3.13", "3.14", "3.15"]

def check_hub_settings(tag):
    """Refuses names that no build can choose.

    Args:
      tag: a tag `bento.pypi`.
    """
    _check_known(tag, "platforms", tag.platforms, PLATFORMS)
    _check_known(tag, "more_python_versions", tag.more_python_versions, PYTHON_VERSIONS)
    parts = tag.python_version.split(".")
    if tag.python_version and (len(parts) not in (2, 3) or not all([part.isdigit() for part in parts])):
        fail("bento.pypi(name = \"{}\"): python_version is \"{}\": write X.Y, such as \"3.12\"".format(tag.name, tag.python_version))

def _check_known(tag, attribute, values, known):
    for at, value in enumerate(values):
        if value not in known:
            fail("bento.pypi(name = \"{}\"): {} has \"{}\", which is not known: there are {}".format(
                tag.name,
                attribute,
                value,
                ", ".join(known),
            ))
        if value in values[:at]:
            fail("bento.pypi(name = \"{}\"): {} has \"{}\" twice: leave one".format(tag.name, attribute, value))
