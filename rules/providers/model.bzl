"""An entry of BentoML's model store."""

load("//rules/private:checked.bzl", "checked")

_FIELDS = {
    "alias": "str - the name that a service may load it by; empty for none.",
    "archive_part": "File - its files as a part of an archive, at `models/<name>/<version>/`.",
    "description": "File - JSON: tag, module, labels, creation time, digest and size.",
    "layers": "dict[str, tuple[BentoLayerInfo]] - by compression: the model as layers of images, weights below the rest.",
    "manifest": "File - JSON: path, size, mode and BLAKE3 digest of each file.",
}

BentoModelInfo, _new_model_info = provider(
    doc = "A model, made once and shared by all Bentos that name it.",
    fields = _FIELDS,
    init = checked("BentoModelInfo", _FIELDS),
)
