"""A wheel."""

load("//rules/private:checked.bzl", "checked")

_FIELDS = {
    "distribution": "str - normalized name of the package (PEP 503).",
    "exclude": "tuple[str] - patterns of its files that images leave out, as `bento.pypi` has them; each names some.",
    "exclude_preset": "tuple[str] - the same of presets; one may name nothing.",
    "file": "File - the wheel.",
    "python_version": "str - the Python that it is chosen for, `X.Y`.",
    "allow_record_mismatch": "bool - whether `bento.pypi` takes it although its RECORD is wrong.",
    "sha256": "str - of the file, as the lock has it; empty for one that is built here.",
    "size": "int - bytes of the file.",
    "version": "str - version of the package.",
}

BentoWheelInfo, _new_wheel_info = provider(
    doc = "A wheel of a lock, as a file.",
    fields = _FIELDS,
    init = checked("BentoWheelInfo", _FIELDS, defaults = {"exclude": (), "exclude_preset": ()}),
)
