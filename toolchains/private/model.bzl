"""Fetches the models of `bento.model`: files from a server or Hugging Face Hub, archives, or artifacts in a registry, all by hash."""

load(":build_text.bzl", "build_text", "check_url")
load(":fetch.bzl", "run_helper")
load(":lock_shapes.bzl", "matches")

_MODEL = """\
load("@rules_bento//rules:bento_model.bzl", "bento_model")

bento_model(
    name = {name},
    srcs = {srcs},
    alias = {alias},
    labels = {labels},
    module = {module},
    strip_prefix = "files",
    tag = {tag},
    visibility = ["//visibility:public"],
)
"""

_MODEL_IMPORT = """\
load("@rules_bento//rules:bento_model_import.bzl", "bento_model_import")

bento_model_import(
    name = {name},
    alias = {alias},
    archive = {archive},
    visibility = ["//visibility:public"],
)
"""

# Suffixes of archives that `bento_model_import` reads.
_ARCHIVES = [".bentomodel", ".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".zip"]

# The characters of names of environment variables.
_NAME_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz0123456789"

def _where(rctx):
    return "bento.model(name = \"{}\")".format(rctx.attr.model)

def _expand_path(path, environ):
    """Replaces `~`, `$NAME`, and `${NAME}` in a path, as `expanduser` and `expandvars` of Python do. Leaves references to unset variables unchanged."""
    if path == "~" or path.startswith("~/"):
        path = environ.get("HOME", "") + path[1:]
    first, _, rest = path.partition("$")
    for piece in rest.split("$") if rest else []:
        name = piece[1:].partition("}")[0] if piece.startswith("{") and "}" in piece else piece[:len(piece) - len(piece.lstrip(_NAME_CHARACTERS))]
        reference = "{" + name + "}" if piece.startswith("{") else name
        first += environ[name] + piece[len(reference):] if name in environ else "$" + piece
    return first

def _token(rctx):
    """Returns the token that the library huggingface_hub would use for Hugging Face Hub, or an empty string."""

    # The function doesn't use `getenv`, because Bazel stores its results.
    environ = rctx.os.environ
    token = environ.get("HF_TOKEN") or environ.get("HUGGING_FACE_HUB_TOKEN") or ""  # the second is the former name
    if token.strip():
        return token.strip()
    cache = environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = environ.get("HF_HOME") or cache + "/huggingface"
    file = rctx.path(_expand_path(environ.get("HF_TOKEN_PATH") or home + "/token", environ))
    return rctx.read(file, watch = "no").strip() if file.exists else ""

def _huggingface_address(rctx):
    """Returns the base URL of the files in a commit on Hugging Face Hub. Fails if an attribute is invalid or the URL is unknown."""
    if not matches("repository", rctx.attr.huggingface):
        fail("{}: invalid repository {} in huggingface. Use organization/name.".format(_where(rctx), repr(rctx.attr.huggingface)))
    if len(rctx.attr.revision) != 40 or not matches("commit", rctx.attr.revision):
        fail("{}: invalid revision {}. Use a commit hash (40 hexadecimal digits), because branches and tags can change.".format(_where(rctx), repr(rctx.attr.revision)))
    endpoint = rctx.attr.endpoint or rctx.getenv("HF_ENDPOINT")
    if not endpoint:
        fail("{}: the URL of the Hugging Face Hub is missing. Set the endpoint attribute, or the environment variable HF_ENDPOINT.".format(_where(rctx)))
    check_url(_where(rctx), "endpoint", endpoint)
    return "{}/{}/resolve/{}".format(endpoint.removesuffix("/"), rctx.attr.huggingface, rctx.attr.revision)

def _download_files(rctx, address, token):
    """Downloads the files in parallel, or copies them from Bazel's repository cache. Fails for an invalid path or hash."""
    pending = []
    for number, (path, sha256) in enumerate(rctx.attr.files.items()):
        if not matches("model file", path):
            fail("{}: invalid path {} in the files attribute. Use a relative path without backslashes, control characters, or segments that are empty, '.', or '..'.".format(_where(rctx), repr(path)))
        if not matches("sha256", sha256):
            fail("{}: invalid hash {} for {} in the files attribute. Use the SHA-256 of the file (64 hexadecimal digits).".format(_where(rctx), repr(sha256), path))
        url = "{}/{}".format(address.removesuffix("/"), path.replace("%", "%25").replace(" ", "%20").replace("#", "%23").replace("?", "%3F"))
        rctx.report_progress("fetching {} ({} of {})".format(path, number + 1, len(rctx.attr.files)))
        pending.append(rctx.download(
            url = url,
            output = "files/" + path,
            sha256 = sha256,
            auth = {url: {"password": token, "pattern": "Bearer <password>", "type": "pattern"}} if token else {},
            block = False,
        ))
    for download in pending:
        download.wait()

def _write_model(rctx):
    rctx.file("BUILD.bazel", build_text(
        _MODEL,
        alias = rctx.attr.alias,
        labels = rctx.attr.labels,
        module = rctx.attr.module,
        name = rctx.attr.model,
        srcs = ["files/" + path for path in rctx.attr.files],
        tag = rctx.attr.tag or rctx.attr.model,
    ))

def _write_model_import(rctx, archive):
    if rctx.attr.tag or rctx.attr.labels or rctx.attr.module:
        fail("{}: the archive or artifact already defines the tag, the labels, and the module. Remove the attributes tag, labels, and module.".format(_where(rctx)))
    rctx.file("BUILD.bazel", build_text(_MODEL_IMPORT, alias = rctx.attr.alias, archive = archive, name = rctx.attr.model))

def _download_archive(rctx):
    suffixes = [suffix for suffix in _ARCHIVES if rctx.attr.archive.endswith(suffix)]
    check_url(_where(rctx), "archive", rctx.attr.archive)
    if not suffixes:
        fail("{}: archive {} has an unknown suffix. Use a URL that ends in one of: {}.".format(_where(rctx), repr(rctx.attr.archive), ", ".join(_ARCHIVES)))
    if not matches("sha256", rctx.attr.sha256):
        fail("{}: invalid sha256 {}. Use the SHA-256 of the archive (64 hexadecimal digits).".format(_where(rctx), repr(rctx.attr.sha256)))
    rctx.report_progress("fetching {}".format(rctx.attr.archive))
    rctx.download(url = rctx.attr.archive, output = "model" + suffixes[0], sha256 = rctx.attr.sha256)
    _write_model_import(rctx, "model" + suffixes[0])

def _pull(rctx):
    """Pulls a model artifact, whose only layer is the archive part of the model, from a registry. Fails for other images."""
    if not matches("image", rctx.attr.image):
        fail("{}: invalid image {}. Use registry/repository, without a tag or digest.".format(_where(rctx), repr(rctx.attr.image)))
    if not matches("sha256", rctx.attr.digest.removeprefix("sha256:")) or not rctx.attr.digest.startswith("sha256:"):
        fail("{}: invalid digest {}. Use sha256: and 64 hexadecimal digits.".format(_where(rctx), repr(rctx.attr.digest)))
    rctx.report_progress("pulling {}".format(rctx.attr.image))
    run_helper(rctx, _where(rctx), "pull", ["--image", "{}@{}".format(rctx.attr.image, rctx.attr.digest), "--layout", "layout"])
    manifest = json.decode(rctx.read("layout/blobs/" + rctx.attr.digest.replace(":", "/")))
    layers = manifest.get("layers", [])
    if manifest.get("artifactType") != "application/vnd.rules-bento.model.v1" or len(layers) != 1:
        fail("{}: {} isn't a model artifact. Set image and digest to a model that bento_push pushed.".format(_where(rctx), rctx.attr.image))
    layer = layers[0]["digest"].removeprefix("sha256:")
    if not matches("sha256", layer):
        fail("{}: the layer of {} has no SHA-256 digest. Push the model again.".format(_where(rctx), rctx.attr.image))
    rctx.symlink("layout/blobs/sha256/" + layer, "model.part")
    _write_model_import(rctx, "model.part")

def model_repo_impl(rctx):
    """Fetches a model. Fails unless the attributes specify exactly one source.

    Args:
      rctx: repository context.
    """
    sources = [name for name in ("archive", "address", "huggingface", "image") if getattr(rctx.attr, name)]
    if len(sources) != 1:
        fail("{}: expected one of archive, address, huggingface, or image, got {}. Set exactly one of these attributes.".format(_where(rctx), " and ".join(sources) or "none"))
    if bool(rctx.attr.files) != (sources[0] in ("address", "huggingface")):
        fail("{}: {}".format(_where(rctx), "files is supported only with address or huggingface. Remove files." if rctx.attr.files else "files is missing. Set files to the path and SHA-256 of each file."))
    if sources[0] == "archive":
        _download_archive(rctx)
    elif sources[0] == "image":
        _pull(rctx)
    elif sources[0] == "address":
        check_url(_where(rctx), "address", rctx.attr.address)
        _download_files(rctx, rctx.attr.address, "")
        _write_model(rctx)
    else:
        _download_files(rctx, _huggingface_address(rctx), _token(rctx))
        _write_model(rctx)

_SOURCE = {
    "address": attr.string(doc = "Base URL for `files`. The scheme must be `http` or `https`."),
    "alias": attr.string(doc = "Alternative name that `bentoml.models.get` accepts in Bentos that bundle the model."),
    "archive": attr.string(doc = "URL (`http` or `https`) of an archive; requires `sha256`. The archive is the output of `bentoml models export`, or a tar or zip archive with the files of a model."),
    "digest": attr.string(doc = "Digest of the model artifact in `image` (`sha256:<hex>`)."),
    "endpoint": attr.string(doc = "URL of the Hugging Face Hub. The scheme must be `http` or `https`. Default: the `HF_ENDPOINT` environment variable. Required if the variable isn't set."),
    "files": attr.string_dict(doc = "Files of the model. Keys are paths; values are SHA-256 digests. Only these files are downloaded."),
    "huggingface": attr.string(doc = "Hugging Face Hub repository (`organization/name`); requires `revision` and `files`. Credentials come from the configuration of the Hugging Face client."),
    "image": attr.string(doc = "Registry repository of a model that `bento_push` pushed (`registry/repository`); requires `digest`."),
    "labels": attr.string_dict(doc = "Labels of the model."),
    "module": attr.string(doc = "Framework module of BentoML that loads the model, such as `bentoml.transformers`. Default: none."),
    "revision": attr.string(doc = "Commit in the Hugging Face Hub repository (40 hexadecimal digits)."),
    "sha256": attr.string(doc = "SHA-256 digest of `archive`, in hexadecimal."),
    "tag": attr.string(doc = "Tag of the model: `name` or `name:version`. Default name: the attribute `name`. Default version: the digest of the content."),
}

_model_repo = repository_rule(
    implementation = model_repo_impl,
    doc = "Fetches a model that `bento.model` declares.",
    attrs = _SOURCE | {"model": attr.string(doc = "Name of the target that provides the model.", mandatory = True)},
)

model_tag = tag_class(
    doc = "Declares a model with the label `@<name>`. To include the model in a Bento, add `@<name>` to `models` of `bento_package`. Bazel fetches the model only if a build needs the model.",
    attrs = _SOURCE | {"name": attr.string(doc = "Name of the repository, and of the model's target in the repository.", mandatory = True)},
)

def declare_model(tag):
    """Declares the repository of a `bento.model` tag."""
    _model_repo(name = tag.name, model = tag.name, **{name: getattr(tag, name) for name in _SOURCE})
