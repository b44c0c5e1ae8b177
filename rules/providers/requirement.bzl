"""A locked package with all that it needs."""

load("//rules/private:checked.bzl", "checked")

_FIELDS = {
    "distribution": "str - normalized name of the package (PEP 503), with the extra in brackets if it is one's.",
    "glibc": "str - the newest C library that a Linux wheel may ask for, `X.Y`.",
    "modules": "depset[BentoWheelModulesInfo] - the modules of its closure, its own among them; empty where the configuration asks for none.",
    "packages": "depset[File] - JSON: what the lock has of each package of its closure, itself among them.",
    "platform": "str - `<os>_<machine>`; empty for a wheel that needs no package of a hub.",
    "python_version": "str - `X.Y[.Z]`; empty where `platform` is.",
    "vendored": "depset[File] - wheels of its closure that no index has, which Bentos carry.",
    "wheels": "depset[BentoWheelInfo] - the wheels of its closure, its own among them; empty where the configuration asks for none.",
}

BentoRequirementInfo, _new_requirement_info = provider(
    doc = "A package of a lock, for one platform and Python version.",
    fields = _FIELDS,
    init = checked("BentoRequirementInfo", _FIELDS),
)
