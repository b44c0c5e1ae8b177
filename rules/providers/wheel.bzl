"""A wheel."""

BentoWheelInfo = provider(
    doc = "A wheel: the file, and the layers that images take it as. Nothing is unpacked before a layer is asked for.",
    fields = {
        "distribution": "str - normalized name of the package (PEP 503).",
        "file": "File - the wheel.",
        "fragments": "dict[str, File] - by compression: its entries of a layer, without an end of archive.",
        "size": "int - bytes of the file.",
        "version": "str - version of the package.",
    },
)
