"""What a run target tells the helper of the files of an image, a Bento or a model (see registry/contents.py)."""

load("//rules/providers:bento.bzl", "BentoInfo")
load("//rules/providers:image.bzl", "BentoImageInfo")
load("//rules/providers:image_index.bzl", "BentoImageIndexInfo")
load("//rules/providers:model.bzl", "BentoModelInfo")
load(":launcher.bzl", "runfile_path")

# One of these has to be provided.
PUSHABLE = [[BentoImageInfo], [BentoImageIndexInfo], [BentoInfo], [BentoModelInfo]]

def _blob(ctx, layer, is_built):
    where = {"from": layer.origin}
    if layer.blob:
        where = {"built": layer.blob.path} if is_built else {"path": runfile_path(ctx, layer.blob)}
    return {"description": runfile_path(ctx, layer.description)} | where

def _image(ctx, image, leave_built):
    # A source file is in no cache.
    built = [bool(leave_built and layer.blob and not layer.blob.is_source) for layer in image.layers]
    contents = {
        "blobs": [_blob(ctx, layer, is_built) for layer, is_built in zip(image.layers, built)],
        "config": runfile_path(ctx, image.config),
        "manifest": runfile_path(ctx, image.manifest),
        "referrers": [
            {"media_type": referrer.media_type, "path": runfile_path(ctx, referrer.file)}
            for referrer in image.referrers
        ],
    }
    files = [image.config, image.manifest] + [layer.description for layer in image.layers]
    files += [layer.blob for layer, is_built in zip(image.layers, built) if layer.blob and not is_built]
    return contents, files + [referrer.file for referrer in image.referrers]

def _model(ctx, model):
    contents = {"description": runfile_path(ctx, model.description), "part": runfile_path(ctx, model.archive_part)}
    return contents, [model.description, model.archive_part]

def _bento(ctx, bento):
    # The models that the target itself names.
    models = [_model(ctx, model) for model in bento.models.to_list()]
    contents = {
        "bento_yaml": runfile_path(ctx, bento.bento_yaml),
        "digest": runfile_path(ctx, bento.digest),
        "models": [model for model, _ in models],
        "parts": [runfile_path(ctx, part) for part in bento.parts],
    }
    return contents, [bento.bento_yaml, bento.digest] + list(bento.parts) + [file for _, files in models for file in files]

def contents_of(ctx, target, leave_built = False):
    """Describes what a target has for a registry.

    Args:
      ctx: the rule's context.
      target: a Target with one of the providers of `PUSHABLE`.
      leave_built: whether layers of images that actions write are not asked for, only told where they would be.

    Returns:
      A dict for the helper, with paths below the runfiles, and the list of the Files that it names.
    """
    if BentoImageIndexInfo in target:
        info = target[BentoImageIndexInfo]
        images = [_image(ctx, image, leave_built) for image in info.images]
        contents = {"images": [image for image, _ in images], "manifest": runfile_path(ctx, info.index)}
        return {"index": contents}, [info.index] + [file for _, files in images for file in files]
    if BentoImageInfo in target:
        contents, files = _image(ctx, target[BentoImageInfo], leave_built)
        return {"image": contents}, files
    if BentoInfo in target:
        contents, files = _bento(ctx, target[BentoInfo])
        return {"bento": contents}, files
    contents, files = _model(ctx, target[BentoModelInfo])
    return {"model": contents}, files
