"""A wheel."""

BentoWheelInfo = provider(
    doc = "A wheel of a lock, as a file.",
    fields = {
        "distribution": "str - normalized name of the package (PEP 503).",
        "file": "File - the wheel.",
        "python_version": "str - the Python that it is chosen for, `X.Y`.",
        "size": "int - bytes of the file.",
        "version": "str - version of the package.",
    },
)
