"""Defines push_manifest, which describes an image, an index, a Bento, or a model for programs that push or load it
(see run/push_description.py)."""

load("//rules:providers.bzl", "BentoImageIndexInfo", "BentoImageInfo", "BentoInfo", "BentoModelInfo")
load(":launcher.bzl", "runfile_path")

# Targets that programs can push provide at least one of these providers.
PUSHABLE = [[BentoImageInfo], [BentoImageIndexInfo], [BentoInfo], [BentoModelInfo]]

def _path(ctx, file, below):
    path = runfile_path(ctx, file)
    return "{}/{}".format(below, path) if below else path

def _blob(ctx, layer, is_built, below):
    where = {"from": layer.origin}
    if layer.recipe:
        where = {"recipe": _path(ctx, layer.recipe, below), "wheel": _path(ctx, layer.wheel, below)}
    elif layer.blob:
        where = {"built": layer.blob.path} if is_built else {"path": _path(ctx, layer.blob, below)}
    return {"description": _path(ctx, layer.description, below)} | where

def _attested(ctx, info, attested, below = ""):
    """Returns a dict and a list for the build definition: its JSON field and its File.

    Both are empty unless the build definition is attested.
    """
    if not attested or not info.build_definition:
        return {}, []
    return {"build_definition": _path(ctx, info.build_definition, below)}, [info.build_definition]

def _image(ctx, image, leave_built, attested, below = ""):
    # The remote cache doesn't contain source files, so runfiles always include layers that are source files.
    built = [bool(leave_built and layer.blob and not layer.blob.is_source) for layer in image.layers]
    contents = {
        "blobs": [_blob(ctx, layer, is_built, below) for layer, is_built in zip(image.layers, built)],
        "config": _path(ctx, image.config, below),
        "manifest": _path(ctx, image.manifest, below),
        "referrers": [
            {"media_type": referrer.media_type, "path": _path(ctx, referrer.file, below)}
            for referrer in image.referrers
        ],
    }
    soci_files = []
    if image.soci:
        ztocs = [layer.ztoc for layer in image.layers if layer.ztoc]
        contents |= {
            "index": _path(ctx, image.index, below),
            "soci": _path(ctx, image.soci, below),
            "ztocs": [
                {"description": _path(ctx, ztoc.description, below), "path": _path(ctx, ztoc.file, below)}
                for ztoc in ztocs
            ],
        }
        soci_files = [image.index, image.soci] + [file for ztoc in ztocs for file in (ztoc.description, ztoc.file)]
    definition, definition_files = _attested(ctx, image, attested, below)
    files = soci_files + definition_files + [image.config, image.manifest] + [
        layer.description
        for layer in image.layers
    ]
    for layer, is_built in zip(image.layers, built):
        if layer.recipe:
            files += [layer.recipe, layer.wheel]
        elif layer.blob and not is_built:
            files.append(layer.blob)
    return contents | definition, files + [referrer.file for referrer in image.referrers]

def _index(ctx, info, leave_built, attested):
    """Returns the JSON object and the links (path to File) of an index.

    Each image has a directory, because images have equal file names.
    """
    images, links = [], {}
    directory = "/".join([
        part
        for part in [ctx.label.workspace_root, ctx.label.package, ctx.label.name + ".images"]
        if part
    ])
    for number, image in enumerate(info.images):
        below = "{}/{}".format(directory, number)
        contents, files = _image(ctx, image, leave_built, attested, below)
        images.append(contents)
        links |= {_path(ctx, file, below): file for file in files}
    return {"images": images, "manifest": runfile_path(ctx, info.index)}, links

def _model(ctx, model):
    contents = {"description": runfile_path(ctx, model.description), "part": runfile_path(ctx, model.archive_part)}
    return contents, [model.description, model.archive_part]

def _bento(ctx, bento, attested):
    definition, definition_files = _attested(ctx, bento, attested)

    # The list is short: the models in the attributes of the target.
    models = [_model(ctx, model) for model in bento.models.to_list()]
    contents = {
        "bento_yaml": runfile_path(ctx, bento.bento_yaml),
        "digest": runfile_path(ctx, bento.digest),
        "models": [model for model, _ in models],
        "parts": [runfile_path(ctx, part) for part in bento.parts],
    }
    return contents | definition, definition_files + [bento.bento_yaml, bento.digest] + list(bento.parts) + [
        file
        for _, files in models
        for file in files
    ]

def _described(ctx, target, leave_built, attested):
    """Returns the JSON object of a target, its Files, and the links (path to File) of an index."""
    if BentoImageIndexInfo in target:
        info = target[BentoImageIndexInfo]
        contents, links = _index(ctx, info, leave_built, attested)
        return {"index": contents}, [info.index], links
    if BentoImageInfo in target:
        contents, files = _image(ctx, target[BentoImageInfo], leave_built, attested)
        return {"image": contents}, files, {}
    if BentoInfo in target:
        contents, files = _bento(ctx, target[BentoInfo], attested)
        return {"bento": contents}, files, {}
    contents, files = _model(ctx, target[BentoModelInfo])
    return {"model": contents}, files, {}

def push_manifest(ctx, target, leave_built = False, attested = False):
    """Declares the JSON file that describes the blobs and manifests of a target for the helper.

    Args:
      ctx: context of the rule.
      target: a Target with one of the providers in `PUSHABLE`.
      leave_built: whether to omit built image layers from the runfiles. The description then contains only the output
        paths of the layers.
      attested: whether to include the build definition.

    Returns:
      A struct of `contents` (path of the JSON file, relative to the runfiles directory, as all paths in it), `files`
      (list of this file and the Files in it), and `links` (dict of path to additional File; paths are relative to the
      root of the runfiles).
    """
    contents, files, links = _described(ctx, target, leave_built, attested)
    description = ctx.actions.declare_file(ctx.label.name + ".contents.json")
    ctx.actions.write(description, json.encode(contents))
    return struct(contents = runfile_path(ctx, description), files = files + [description], links = links)
