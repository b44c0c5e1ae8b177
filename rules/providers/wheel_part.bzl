"""A wheel, ready for layers."""

BentoWheelPartInfo = provider(
    doc = "What becomes of a wheel in images: a layer of its own, or a part of one. Where `//rules:bytecode` asks for it, a part with its byte code.",
    fields = {
        "excluded": "File - JSON: how much of the wheel is left out; None where nothing is to be.",
        "layer": "BentoLayerInfo - the wheel alone; None for a small one.",
        "layer_libraries": "File - JSON: the same as `libraries`, written with `layer`; None without.",
        "libraries": "File - JSON: which shared libraries the wheel has and needs, as early as that is known; None for its byte code.",
        "listing": "File - JSON: folders and files of the part.",
        "part": "File - the wheel's files as members of a tar, compressed: layers are joined from parts. None for byte code that no interpreter makes.",
        "part_libraries": "File - JSON: the same as `libraries`, written with `part`; None for its byte code.",
        "wheel": "BentoWheelInfo - the wheel.",
    },
)
