"""A built Bento."""

load("//rules/private:checked.bzl", "checked")

_FIELDS = {
    "archive": "File - the `.bento` with all its models, as `bentoml import` takes it; the target's default output unless that leaves them out.",
    "bento_yaml": "File - its `bento.yaml`.",
    "build_definition": "File - JSON: SLSA's `buildDefinition`, of what it is made.",
    "build_ctx": "str - the folder that became its `src/`, as short paths begin.",
    "data_layers": "dict[str, BentoLayerInfo] - by compression: `data` as a layer of images; empty without data.",
    "digest": "File - text: `blake3:<hex>` of the content.",
    "import_roots": "depset[str] - the `imports` of its libraries, `<repository>/<folder>`.",
    "manifest": "File - JSON: path, size, mode and BLAKE3 digest of each file but the models', and for which machine one with machine code is.",
    "models": "depset[BentoModelInfo] - the models that it needs.",
    "parts": "tuple[File] - archive parts: environment and metadata, sources, and data where there are some.",
    "requested_platform": "str - the platform that the target itself names; empty where the build chooses.",
    "platform": "str - what it is for, `<os>_<machine>`; empty for one that no hub knows.",
    "python_version": "str - the Python that it is for, `X.Y`.",
    "requirements": "depset[BentoRequirementInfo] - the packages of a hub that it states; their wheels only where the configuration brings them.",
    "tag": "File - text: `<name>:<version>`.",
}

BentoInfo, _new_bento_info = provider(
    doc = "A Bento: what it is called, what is in it, and the parts that archives and images are made of.",
    fields = _FIELDS,
    init = checked("BentoInfo", _FIELDS),
)
