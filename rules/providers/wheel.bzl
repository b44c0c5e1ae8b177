"""A wheel."""

load("//rules/private:checked.bzl", "checked")

_FIELDS = {
    "distribution": "str - normalized name of the package (PEP 503).",
    "file": "File - the wheel.",
    "python_version": "str - the Python that it is chosen for, `X.Y`.",
    "record_errors": "bool - whether `bento.pypi` takes it although its RECORD is wrong.",
    "sha256": "str - of the file, as the lock has it; empty for one that is built here.",
    "size": "int - bytes of the file.",
    "version": "str - version of the package.",
}

BentoWheelInfo, _new_wheel_info = provider(
    doc = "A wheel of a lock, as a file.",
    fields = _FIELDS,
    init = checked("BentoWheelInfo", _FIELDS),
)
