"""The unpacked modules of one wheel."""

load("//rules/private:checked.bzl", "checked")

_FIELDS = {
    "distribution": "str - normalized name of the package (PEP 503).",
    "files": "depset[File] - the unpacked files.",
    "import_roots": "tuple[str|File] - folders to import from: relative to the execution root, or the one that an action unpacks to; what `add_folders` takes.",
    "imports": "tuple[str] - the same folders as PyInfo has them, `<repository>/<folder>`.",
    "version": "str - version of the package.",
    "wheel": "File - the wheel itself.",
}

BentoWheelModulesInfo, _new_wheel_modules_info = provider(
    doc = "The modules of a wheel, ready to be imported.",
    fields = _FIELDS,
    init = checked("BentoWheelModulesInfo", _FIELDS),
)
