"""Models from elsewhere: files by their hashes, from a server, a Hugging Face hub or a registry."""

load(":build_text.bzl", "build_text")
load(":fetch.bzl", "run_helper")
load(":lock_shapes.bzl", "matches")

_MADE = """\
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

_IMPORTED = """\
load("@rules_bento//rules:bento_model_import.bzl", "bento_model_import")

bento_model_import(
    name = {name},
    alias = {alias},
    archive = {archive},
    visibility = ["//visibility:public"],
)
"""

# Suffixes of archives as `bento_model_import` takes them.
_ARCHIVES = [".bentomodel", ".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".zip"]

def _place(rctx):
    return "bento.model(name = \"{}\")".format(rctx.attr.model)

def _token(rctx):
    """Returns the user's token for a Hugging Face hub: from the environment, or from where its own client keeps it."""

    # What `getenv` returns, Bazel writes down beside the repository.
    environ = rctx.os.environ
    token = environ.get("HF_TOKEN")
    if token:
        return token.strip()
    home = environ.get("HF_HOME") or (environ.get("HOME", "") + "/.cache/huggingface")
    file = rctx.path(environ.get("HF_TOKEN_PATH") or home + "/token")
    return rctx.read(file, watch = "no").strip() if file.exists else ""

def _huggingface_address(rctx):
    """Returns the address that the files of a snapshot are below."""
    if not matches("repository", rctx.attr.huggingface):
        fail("{}: huggingface is {}; write organization/name".format(_place(rctx), repr(rctx.attr.huggingface)))
    if len(rctx.attr.revision) != 40 or not matches("commit", rctx.attr.revision):
        fail("{}: revision is {}; give the commit, 40 hexadecimal digits: branches and tags move".format(_place(rctx), repr(rctx.attr.revision)))
    endpoint = rctx.attr.endpoint or rctx.getenv("HF_ENDPOINT")
    if not endpoint:
        fail("{}: set endpoint, or HF_ENDPOINT in the environment, to the address of the hub".format(_place(rctx)))
    return "{}/{}/resolve/{}".format(endpoint.removesuffix("/"), rctx.attr.huggingface, rctx.attr.revision)

def _download_files(rctx, address, token):
    """Brings the files, several at a time; Bazel's repository cache has them by their hashes."""
    pending = []
    for number, (path, sha256) in enumerate(rctx.attr.files.items()):
        if not matches("model file", path):
            fail("{}: files has {}, which is absolute or leaves the model; write a path below it".format(_place(rctx), repr(path)))
        if not matches("sha256", sha256):
            fail("{}: files has {} for {}; give its SHA-256, 64 hexadecimal digits".format(_place(rctx), repr(sha256), path))
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

def _write_made(rctx):
    rctx.file("BUILD.bazel", build_text(
        _MADE,
        alias = rctx.attr.alias,
        labels = rctx.attr.labels,
        module = rctx.attr.module,
        name = rctx.attr.model,
        srcs = ["files/" + path for path in rctx.attr.files],
        tag = rctx.attr.tag or rctx.attr.model,
    ))

def _write_imported(rctx, archive):
    if rctx.attr.tag or rctx.attr.labels or rctx.attr.module:
        fail("{}: tag, labels and module are in the archive already; leave them out".format(_place(rctx)))
    rctx.file("BUILD.bazel", build_text(_IMPORTED, alias = rctx.attr.alias, archive = archive, name = rctx.attr.model))

def _download_archive(rctx):
    found = [suffix for suffix in _ARCHIVES if rctx.attr.archive.endswith(suffix)]
    if not found:
        fail("{}: archive is {}; its name has to end in {}".format(_place(rctx), repr(rctx.attr.archive), ", ".join(_ARCHIVES)))
    if not matches("sha256", rctx.attr.sha256):
        fail("{}: sha256 is {}; give that of the archive, 64 hexadecimal digits".format(_place(rctx), repr(rctx.attr.sha256)))
    rctx.report_progress("fetching {}".format(rctx.attr.archive))
    rctx.download(url = rctx.attr.archive, output = "model" + found[0], sha256 = rctx.attr.sha256)
    _write_imported(rctx, "model" + found[0])

def _pull(rctx):
    """Pulls the one layer of a model's artifact, which is the model's part of archives."""
    if not matches("image", rctx.attr.image):
        fail("{}: image is {}; write registry/repository".format(_place(rctx), repr(rctx.attr.image)))
    if not matches("sha256", rctx.attr.digest.removeprefix("sha256:")) or not rctx.attr.digest.startswith("sha256:"):
        fail("{}: digest is {}; write sha256: and 64 hexadecimal digits".format(_place(rctx), repr(rctx.attr.digest)))
    rctx.report_progress("pulling {}".format(rctx.attr.image))
    run_helper(rctx, _place(rctx), "pull", ["--image", "{}@{}".format(rctx.attr.image, rctx.attr.digest), "--layout", "layout"])
    manifest = json.decode(rctx.read("layout/blobs/" + rctx.attr.digest.replace(":", "/")))
    layers = manifest.get("layers", [])
    if manifest.get("artifactType") != "application/vnd.rules-bento.model.v1" or len(layers) != 1:
        fail("{}: {} is no model; push one with bento_push".format(_place(rctx), rctx.attr.image))
    layer = layers[0]["digest"].removeprefix("sha256:")
    if not matches("sha256", layer):
        fail("{}: the layer of {} has no digest by SHA-256; push the model again".format(_place(rctx), rctx.attr.image))
    rctx.symlink("layout/blobs/sha256/" + layer, "model.part")
    _write_imported(rctx, "model.part")

def model_repo_impl(rctx):
    """Fetches the model, or refuses attributes that do not go together.

    Args:
      rctx: the context of the repository.
    """
    sources = [name for name in ("archive", "address", "huggingface", "image") if getattr(rctx.attr, name)]
    if len(sources) != 1:
        fail("{}: set one of archive, address, huggingface and image; it has {}".format(_place(rctx), " and ".join(sources) or "none"))
    if bool(rctx.attr.files) != (sources[0] in ("address", "huggingface")):
        fail("{}: {}".format(_place(rctx), "set files, with the hash of each" if sources[0] != "archive" and sources[0] != "image" else "files are in the archive already"))
    if sources[0] == "archive":
        _download_archive(rctx)
    elif sources[0] == "image":
        _pull(rctx)
    elif sources[0] == "address":
        _download_files(rctx, rctx.attr.address, "")
        _write_made(rctx)
    else:
        _download_files(rctx, _huggingface_address(rctx), _token(rctx))
        _write_made(rctx)

_SOURCE = {
    "address": attr.string(doc = "Address that `files` lie below."),
    "alias": attr.string(doc = "A name that `bentoml.models.get` finds the model by, in Bentos that bundle it."),
    "archive": attr.string(doc = "Address of a model as `bentoml models export` writes it, or of a tar or zip of one; with `sha256`."),
    "digest": attr.string(doc = "`sha256:<hex>` of the artifact that `image` names."),
    "endpoint": attr.string(doc = "Address of the Hugging Face hub. Default: `HF_ENDPOINT` of the environment."),
    "files": attr.string_dict(doc = "Files of the model: path to SHA-256. Those of the source that are not named are left out."),
    "huggingface": attr.string(doc = "A repository of a Hugging Face hub, `organization/name`; with `revision` and `files`. Credentials as its own client has them."),
    "image": attr.string(doc = "`registry/repository` of a model that `bento_push` sent; with `digest`."),
    "labels": attr.string_dict(doc = "Labels of the model."),
    "module": attr.string(doc = "BentoML's framework module, for example `bentoml.transformers`; empty for a generic model."),
    "revision": attr.string(doc = "Commit of the repository, 40 hexadecimal digits."),
    "sha256": attr.string(doc = "Of `archive`."),
    "tag": attr.string(doc = "`name` or `name:version`. Default: the name; without a version, the digest of the content is the version."),
}

_model_repo = repository_rule(
    implementation = model_repo_impl,
    doc = "A model from elsewhere.",
    attrs = _SOURCE | {"model": attr.string(doc = "Name of the target.", mandatory = True)},
)

model_tag = tag_class(
    doc = "A model from elsewhere, for `models` of a Bento: `@<name>`. It is fetched when a build asks for it.",
    attrs = _SOURCE | {"name": attr.string(doc = "Name of the repository and of its target.", mandatory = True)},
)

def declare_model(tag):
    """Declares the repository of a model.

    Args:
      tag: the tag `bento.model`.
    """
    _model_repo(name = tag.name, model = tag.name, **{name: getattr(tag, name) for name in _SOURCE})
