"""Declares the tags of `bento` that fetch models: files from a server or Hugging Face Hub, archives, or artifacts in a
registry, all by hash."""

load(":build_text.bzl", "PUBLIC", "failing_text", "load_text", "target_text", "url_problem", "without_secrets")
load(":fetch.bzl", "helper_packages", "netrc_token", "run_helper")
load(":lock_shapes.bzl", "matches")

_LOAD = load_text("rules:bento_model.bzl", "bento_model")

# As `HUB` in py/rules_bento/bentos/assembly/model_refs.py.
_HUB = "https://huggingface.co"

# Suffixes of archives that `bento_model` reads.
_ARCHIVES = [".bentomodel", ".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".zip"]

# The characters of names of environment variables.
_NAME_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz0123456789"

def _where(rctx):
    return "bento_files.{}(name = \"{}\")".format(rctx.attr.kind, rctx.attr.model)

def _expand_path(path, environ):
    """Replaces `~`, `$NAME`, and `${NAME}` in a path, as `expanduser` and `expandvars` of Python do.

    Leaves references to unset variables unchanged.
    """
    if path == "~" or path.startswith("~/"):
        path = environ.get("HOME", "") + path[1:]
    first, _, rest = path.partition("$")
    for piece in rest.split("$") if rest else []:
        name = piece[:len(piece) - len(piece.lstrip(_NAME_CHARACTERS))]
        if piece.startswith("{") and "}" in piece:
            name = piece[1:].partition("}")[0]
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

def _declare_failure(rctx, problem):
    """Declares a model whose target fails with an error of the tag."""
    rctx.file("BUILD.bazel", failing_text([rctx.attr.model], "{}: {}".format(_where(rctx), problem)))

def _endpoint(rctx):
    return rctx.attr.endpoint or rctx.getenv("HF_ENDPOINT") or ""

def _hugging_face_problem(rctx):
    """Returns an error if an attribute is invalid or the URL of Hugging Face Hub is unknown, or None."""
    if not matches("repository", rctx.attr.repository):
        return "invalid repository {}. Use organization/name.".format(repr(rctx.attr.repository))
    if len(rctx.attr.revision) != 40 or not matches("commit", rctx.attr.revision):
        return ("invalid revision {}. Use a commit hash (40 hexadecimal digits), because branches and tags can " +
                "change.").format(repr(rctx.attr.revision))
    if not _endpoint(rctx):
        return ("the URL of the Hugging Face Hub is missing. Set the endpoint attribute, or the environment " +
                "variable HF_ENDPOINT.")
    return url_problem("endpoint", _endpoint(rctx))

def _files_problem(files):
    """Returns an error if a path or hash of a file is invalid, or None."""
    for path, sha256 in files.items():
        if not matches("model file", path):
            return ("invalid path {} in the files attribute. Use a relative path without backslashes, control " +
                    "characters, or segments that are empty, '.', or '..'.").format(repr(path))
        if not matches("sha256", sha256):
            return ("invalid hash {} for {} in the files attribute. Use the SHA-256 of the file (64 hexadecimal " +
                    "digits).").format(repr(sha256), path)
    return None

def _hub_credentials(rctx, url):
    """Returns the argument `auth` for a download from a Hugging Face Hub.

    The user's token is only for the Hub itself. A repository can set `endpoint` and, in its .bazelrc, environment
    variables. So another hub gets only a password that the user's netrc file has for its host.
    """
    if url.startswith(_HUB + "/"):
        token = _token(rctx)
        return {url: {"password": token, "pattern": "Bearer <password>", "type": "pattern"}} if token else {}
    return netrc_token(rctx, url)

def _download_files(rctx, base_url, credentials, origin):
    """Downloads the files in parallel, or copies them from Bazel's repository cache, and declares the model."""
    pending = []
    for number, (path, sha256) in enumerate(rctx.attr.files.items()):
        url = "{}/{}".format(
            base_url.removesuffix("/"),
            path.replace("%", "%25").replace(" ", "%20").replace("#", "%23").replace("?", "%3F"),
        )
        rctx.report_progress("fetching {} ({} of {})".format(path, number + 1, len(rctx.attr.files)))
        pending.append(
            rctx.download(
                url = url,
                output = "files/" + path,
                sha256 = sha256,
                auth = credentials(rctx, url),
                block = False,
            ),
        )
    for download in pending:
        download.wait()
    rctx.file("origin.json", json.encode(origin))
    rctx.file("BUILD.bazel", _LOAD + target_text(
        "bento_model",
        alias = rctx.attr.alias,
        fields_file = "origin.json",
        labels = rctx.attr.labels,
        module = rctx.attr.module,
        name = rctx.attr.model,
        srcs = ["files/" + path for path in rctx.attr.files],
        strip_prefix = "files",
        tag = rctx.attr.tag or rctx.attr.model,
        visibility = PUBLIC,
    ))

def _write_model_import(rctx, archive, origin):
    rctx.file("origin.json", json.encode({"origin": origin}))
    target = target_text(
        "bento_model",
        alias = rctx.attr.alias,
        archive = archive,
        fields_file = "origin.json",
        name = rctx.attr.model,
        visibility = PUBLIC,
    )
    rctx.file("BUILD.bazel", _LOAD + target)

def http_model_impl(rctx):
    """Fetches the files of a model from a server."""
    problem = url_problem("url", rctx.attr.url) or _files_problem(rctx.attr.files)
    if problem:
        _declare_failure(rctx, problem)
    else:
        _download_files(rctx, rctx.attr.url, lambda _rctx, _url: {}, {"origin": without_secrets(rctx.attr.url)})

def hugging_face_model_impl(rctx):
    """Fetches the files of a model from Hugging Face Hub."""
    problem = _hugging_face_problem(rctx) or _files_problem(rctx.attr.files)
    if problem:
        _declare_failure(rctx, problem)
    else:
        url = "{}/{}/resolve/{}".format(_endpoint(rctx).removesuffix("/"), rctx.attr.repository, rctx.attr.revision)
        _download_files(
            rctx,
            url,
            _hub_credentials,
            {"hugging_face": "{}@{}".format(rctx.attr.repository, rctx.attr.revision)},
        )

def model_archive_impl(rctx):
    """Fetches the archive of a model."""
    suffixes = [suffix for suffix in _ARCHIVES if rctx.attr.url.endswith(suffix)]
    problem = url_problem("url", rctx.attr.url)
    if not suffixes:
        problem = problem or "url {} has an unknown suffix. Use a URL that ends in one of: {}.".format(
            repr(rctx.attr.url),
            ", ".join(_ARCHIVES),
        )
    if not matches("sha256", rctx.attr.sha256):
        problem = problem or "invalid sha256 {}. Use the SHA-256 of the archive (64 hexadecimal digits).".format(
            repr(rctx.attr.sha256),
        )
    if problem:
        _declare_failure(rctx, problem)
        return
    rctx.report_progress("fetching {}".format(rctx.attr.url))
    rctx.download(url = rctx.attr.url, output = "model" + suffixes[0], sha256 = rctx.attr.sha256)
    _write_model_import(rctx, "model" + suffixes[0], without_secrets(rctx.attr.url))

def oci_model_impl(rctx):
    """Pulls a model artifact, whose only layer is the archive part of the model, from a registry.

    Other images are errors.
    """
    if not matches("image", rctx.attr.image):
        _declare_failure(
            rctx,
            "invalid image {}. Use registry/repository, without a tag or digest.".format(repr(rctx.attr.image)),
        )
        return
    if not matches("sha256", rctx.attr.digest.removeprefix("sha256:")) or not rctx.attr.digest.startswith("sha256:"):
        _declare_failure(
            rctx,
            "invalid digest {}. Use sha256: and 64 hexadecimal digits.".format(repr(rctx.attr.digest)),
        )
        return
    rctx.report_progress("pulling {}".format(rctx.attr.image))
    run_helper(
        rctx,
        _where(rctx),
        "pull",
        ["--image", "{}@{}".format(rctx.attr.image, rctx.attr.digest), "--layout", "layout"],
        helper_packages(rctx),
    )
    manifest = json.decode(rctx.read("layout/blobs/" + rctx.attr.digest.replace(":", "/")))
    layers = manifest.get("layers", [])
    if manifest.get("artifactType") != "application/vnd.rules-bento.model.v1" or len(layers) != 1:
        _declare_failure(
            rctx,
            "{} isn't a model artifact. Set image and digest to a model that bento_push pushed.".format(
                rctx.attr.image,
            ),
        )
        return
    layer = layers[0]["digest"].removeprefix("sha256:")
    if not matches("sha256", layer):
        _declare_failure(rctx, "the layer of {} has no SHA-256 digest. Push the model again.".format(rctx.attr.image))
        return
    rctx.symlink("layout/blobs/sha256/" + layer, "model.part")
    _write_model_import(rctx, "model.part", "oci://{}@{}".format(rctx.attr.image, rctx.attr.digest))

_COMMON = {"alias": attr.string(doc = "Another name that `bentoml.models.get` accepts in Bentos with the model.")}

_FILES = _COMMON | {
    "files": attr.string_dict(
        allow_empty = False,
        doc = "Files of the model, from path to SHA-256. Only these are downloaded.",
        mandatory = True,
    ),
    "labels": attr.string_dict(doc = "Labels of the model."),
    "module": attr.string(
        doc = "Module of BentoML that loads the model, such as `bentoml.transformers`. Default: none.",
    ),
    "tag": attr.string(doc = "`name` or `name:version`. Default: the attribute `name`, and the digest of the content."),
}

_HTTP_MODEL = _FILES | {"url": attr.string(doc = "Base URL of `files`.", mandatory = True)}

_HUGGING_FACE_MODEL = _FILES | {
    "endpoint": attr.string(doc = "URL of the Hugging Face Hub. Default: the environment variable `HF_ENDPOINT`."),
    "repository": attr.string(
        doc = "`organization/name`. The token of the Hugging Face client is sent only to the Hub itself, and a " +
              "password in netrc to another `endpoint`.",
        mandatory = True,
    ),
    "revision": attr.string(doc = "Commit (40 hexadecimal digits).", mandatory = True),
}

_MODEL_ARCHIVE = _COMMON | {
    "sha256": attr.string(doc = "SHA-256 of the archive.", mandatory = True),
    "url": attr.string(
        doc = "URL of an output of `bentoml models export`, or of another tar or zip archive of a model.",
        mandatory = True,
    ),
}

_OCI_MODEL = _COMMON | {
    "digest": attr.string(doc = "Digest of the artifact (`sha256:<hex>`).", mandatory = True),
    "image": attr.string(doc = "`registry/repository` of the artifact.", mandatory = True),
}

def _repo(implementation, attrs):
    """Returns the rule of a repository with the model of a tag.

    `kind` is the tag class, for error messages, and `model` the name of the target.
    """
    own = {
        "kind": attr.string(mandatory = True),
        "model": attr.string(mandatory = True),
    }
    return repository_rule(
        implementation = implementation,
        attrs = attrs | own,
    )

_http_model_repo = _repo(http_model_impl, _HTTP_MODEL)
_hugging_face_model_repo = _repo(hugging_face_model_impl, _HUGGING_FACE_MODEL)
_model_archive_repo = _repo(model_archive_impl, _MODEL_ARCHIVE)
_oci_model_repo = _repo(oci_model_impl, _OCI_MODEL)

_REPOS = {
    "http_model": _http_model_repo,
    "hugging_face_model": _hugging_face_model_repo,
    "model_archive": _model_archive_repo,
    "oci_model": _oci_model_repo,
}

def _tag(source, attrs):
    return tag_class(
        doc = "Declares a model from " + source + ", `@<name>`, for `models` of `bento_package`.",
        attrs = attrs | {"name": attr.string(doc = "Name of the repository.", mandatory = True)},
    )

MODEL_TAGS = {
    "http_model": _tag("files on a server", _HTTP_MODEL),
    "hugging_face_model": _tag("the Hugging Face Hub", _HUGGING_FACE_MODEL),
    "model_archive": _tag("an archive on a server", _MODEL_ARCHIVE),
    "oci_model": _tag("an OCI registry, where `bento_push` pushed it", _OCI_MODEL),
}

def declare_model(kind, tag):
    """Declares the repository of a tag. `kind` is a key of `MODEL_TAGS`."""
    _REPOS[kind](kind = kind, model = tag.name, **{name: getattr(tag, name) for name in dir(tag)})
