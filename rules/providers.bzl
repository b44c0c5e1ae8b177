"""Public providers: `load("@rules_bento//rules:providers.bzl", ...)`."""

def _types(doc):
    """Returns the types of a field, which its documentation begins with: `str - …`, `tuple[str|File] - …`, `File - …; None …`."""
    name = doc.partition(" - ")[0].partition("[")[0]
    return [{"str": "string"}.get(name, name)] + (["NoneType"] if "None " in doc else [])

def _typed_provider(name, *, doc, fields, defaults = {}):
    """Defines a provider that requires each of its fields, rejects others, and checks their types; `defaults` has values of optional fields."""
    types = {field: _types(field_doc) for field, field_doc in fields.items()}

    def init(**values):
        values = defaults | values
        for field in values:
            if field not in types:
                fail("{}: unknown field {}. Valid fields: {}".format(name, field, ", ".join(types)))
        for field, allowed in types.items():
            if field not in values:
                fail("{}: missing field {}. Set the field: {}".format(name, field, fields[field]))
            if type(values[field]) not in allowed:
                fail("{}: field {} is {}, of type {}. Use a value of type {}: {}".format(
                    name,
                    field,
                    repr(values[field]),
                    type(values[field]),
                    " or ".join(allowed),
                    fields[field],
                ))
        return values

    provider_type, _ = provider(doc = doc, fields = fields, init = init)
    return provider_type

BentoInfo = _typed_provider(
    "BentoInfo",
    doc = "A Bento: its metadata, and the parts that archives and images are built from.",
    fields = {
        "archive": "File - `.bento` archive with all models, for `bentoml import`; the target's default output unless `bundle_models` is off.",
        "bento_yaml": "File - `bento.yaml`.",
        "build_ctx": "str - directory that became the Bento's `src/`, in the form of short paths.",
        "build_definition": "File - JSON: SLSA's `buildDefinition` with the inputs of the Bento.",
        "data_layers": "dict[str, BentoLayerInfo] - image layer of `data`, by compression; empty without data.",
        "digest": "File - text: `blake3:<hex>` of the content.",
        "import_roots": "depset[str] - `imports` of the Bento's libraries, `<repository>/<directory>`.",
        "manifest": "File - JSON: path, size, mode, and BLAKE3 digest of each file except the models', and the CPU architecture of files with machine code.",
        "models": "depset[BentoModelInfo] - models that the Bento needs.",
        "parts": "tuple[File] - archive parts: environment and metadata, sources, and data if any.",
        "platform": "str - target platform, `<os>_<machine>`; empty for a platform that no package hub supports.",
        "python_version": "str - target Python version, `X.Y`.",
        "requested_platform": "str - `platform` attribute of the target; empty if the build chooses.",
        "requirements": "depset[BentoRequirementInfo] - packages of a package hub that the Bento declares; with wheels only if the configuration includes them.",
        "tag": "File - text: `<name>:<version>`.",
    },
)

BentoApiInfo = _typed_provider(
    "BentoApiInfo",
    doc = "The API of a service, from its import.",
    fields = {
        "openapi": "File - YAML: OpenAPI specification, as BentoML writes it to apis/openapi.yaml.",
        "schema": "File - JSON: BentoML's own schema, as BentoML writes it to apis/schema.json.",
    },
)

BentoEnvironmentInfo = _typed_provider(
    "BentoEnvironmentInfo",
    doc = "The image that a service requests, in BentoML's terms: the equivalent of `bentoml.images.Image` in a service's source.",
    fields = {
        "files": "depset[File] - files that the steps read (scripts and wheels), each identified by its path from the workspace's root.",
        "image": "File - JSON: base image, distribution, Python version, and the steps in their order.",
    },
)

BentoModelInfo = _typed_provider(
    "BentoModelInfo",
    doc = "A model: built once and shared by all Bentos that need it.",
    fields = {
        "alias": "str - alternative name for `bentoml.models.get`; empty if there isn't one.",
        "archive_part": "File - archive part with the model's files, at `models/<name>/<version>/`.",
        "description": "File - JSON: tag, module, labels, creation time, digest, and size.",
        "layers": "dict[str, tuple[BentoLayerInfo]] - image layers of the model by compression, weights below the other files.",
        "manifest": "File - JSON: path, size, mode, and BLAKE3 digest of each file.",
    },
)

OPTION_GROUPS = ["conda", "docker", "python"]

def _options_init(*, group, options):
    if group not in OPTION_GROUPS:
        fail("BentoOptionsInfo: invalid group \"{}\". Valid groups: {}".format(group, ", ".join(OPTION_GROUPS)))
    return {"group": group, "options": options}

BentoOptionsInfo, _new_options_info = provider(
    doc = "Options of one group of a bentofile, for `bento_package`.",
    fields = {"group": "str - `conda`, `docker`, or `python`.", "options": "dict - the options that are set, by BentoML's names."},
    init = _options_init,
)

BentoRequirementInfo = _typed_provider(
    "BentoRequirementInfo",
    doc = "A package of a lock and its transitive dependencies, for one platform and Python version.",
    fields = {
        "distribution": "str - normalized package name (PEP 503), with the extra in brackets if any.",
        "glibc": "str - newest glibc that a Linux wheel may require, `X.Y`.",
        "modules": "depset[BentoWheelModulesInfo] - modules of the package and its transitive dependencies; empty if the configuration excludes them.",
        "packages": "depset[File] - JSON: lock entries of the package and its transitive dependencies.",
        "platform": "str - `<os>_<machine>`; empty for a wheel that needs no package of a package hub.",
        "python_version": "str - `X.Y[.Z]`; empty if `platform` is.",
        "vendored": "depset[File] - wheels of the package and its transitive dependencies that no index provides, and that Bentos include.",
        "wheels": "depset[BentoWheelInfo] - wheels of the package and its transitive dependencies; empty if the configuration excludes them.",
    },
)

BentoWheelInfo = _typed_provider(
    "BentoWheelInfo",
    doc = "A wheel of a lock.",
    defaults = {"exclude": (), "exclude_preset": ()},
    fields = {
        "allow_record_mismatch": "bool - whether `bento.pypi` accepts the wheel although its RECORD is wrong.",
        "distribution": "str - normalized package name (PEP 503).",
        "exclude": "tuple[str] - patterns of files that images exclude, from `bento.pypi`; each must match a file.",
        "exclude_preset": "tuple[str] - exclude patterns from presets; these may match nothing.",
        "file": "File - the wheel.",
        "python_version": "str - target Python version, `X.Y`.",
        "sha256": "str - hash of the file in the lock; empty for a wheel that the build writes.",
        "size": "int - size in bytes.",
        "version": "str - package version.",
    },
)

BentoWheelModulesInfo = _typed_provider(
    "BentoWheelModulesInfo",
    doc = "The unpacked modules of a wheel, ready to import.",
    fields = {
        "distribution": "str - normalized package name (PEP 503).",
        "files": "depset[File] - unpacked files.",
        "import_roots": "tuple[str|File] - directories to import from: paths relative to the execution root, or the output directory of an action; the value for `add_directories`.",
        "imports": "tuple[str] - the same directories in the form of PyInfo, `<repository>/<directory>`.",
        "version": "str - package version.",
        "wheel": "File - the wheel.",
    },
)

BentoDebInfo = _typed_provider(
    "BentoDebInfo",
    doc = "A locked Debian package and its transitive dependencies, for one architecture.",
    fields = {
        "architecture": "str - name of the architecture in Debian and Go: `amd64`, `arm64`.",
        "files": "depset[File] - .deb files of the package and its transitive dependencies.",
        "glibc": "str - version of the included glibc, `X.Y`; empty without one.",
        "hub": "str - name of the package hub of `bento.apt`.",
        "python_version": "str - version of the included Python, `X.Y`; empty without one.",
    },
)

BentoDebLayerInfo = _typed_provider(
    "BentoDebLayerInfo",
    doc = "Debian packages that are installed in layers, from the lowest layer up.",
    fields = {
        "architecture": "str - name of the architecture in Debian and Go: `amd64`, `arm64`.",
        "glibc": "str - glibc version, `X.Y`; empty without one.",
        "hub": "str - name of the package hub of `bento.apt` that provides the lowest packages.",
        "index": "File - JSON: packages, dpkg status, and paths, for layers above.",
        "layers": "tuple[BentoLayerInfo] - layers from the lowest up.",
        "python_version": "str - Python version, `X.Y`; empty without one.",
    },
)

BentoLayerInfo = _typed_provider(
    "BentoLayerInfo",
    doc = "An image layer: its bytes and its description. Images are assembled from descriptions only.",
    defaults = {"origin": ""},
    fields = {
        "blob": "File - the layer in the form of a registry, a tar that may be compressed; None for a layer that stays in its registry.",
        "description": "File - JSON: media_type, digest (`sha256:<hex>`), size (bytes), diff_id, uncompressed_size, name, and optional annotations of the descriptor.",
        "origin": "str - `registry/repository` that has the layer; empty for a layer that is built or only local.",
    },
)

BentoBaseInfo = _typed_provider(
    "BentoBaseInfo",
    doc = "A base image: its layers in order, and the properties that a Python service depends on.",
    fields = {
        "config": "File - JSON: architecture, os, variant, env (object); for an existing image also history, digest, and origin (`registry/repository`).",
        "deb_index": "File - JSON: installed Debian packages, in the form of BentoDebLayerInfo.index; None if they are unknown.",
        "glibc": "str - glibc version, `X.Y`; empty if unknown.",
        "layers": "tuple[BentoLayerInfo] - layers from the lowest up.",
        "libraries": "File - JSON: file names of the shared libraries; None if `deb_index` lists them, or if they are unknown.",
        "name": "str - name in messages: a label.",
        "python": "str - absolute path of the interpreter.",
        "python_version": "str - `X.Y`.",
        "system": "File - JSON: distribution and packages of an existing image; None if `deb_index` lists them, or if they are unknown.",
    },
)

BentoImageInfo = _typed_provider(
    "BentoImageInfo",
    doc = "An image: config, manifest, and the layers that they name.",
    fields = {
        "bento_yaml": "File - `bento.yaml` of a Bento that the image includes with all models; None for an image of only a model, and for one with mounted models.",
        "build_definition": "File - JSON: SLSA's `buildDefinition` with the inputs of the image; None for an image of only a model.",
        "config": "File - image config, JSON.",
        "digest": "File - text: `sha256:<hex>` of the manifest, which identifies the image.",
        "layers": "tuple[BentoLayerInfo] - layers from the lowest up.",
        "manifest": "File - image manifest, JSON.",
        "referrers": "tuple[struct(file: File, media_type: str)] - artifacts that are pushed with the image: its SBOM.",
    },
)

BentoImageIndexInfo = _typed_provider(
    "BentoImageIndexInfo",
    doc = "An OCI image index: images of one service for several platforms.",
    fields = {
        "digest": "File - text: `sha256:<hex>` of the index, which identifies it.",
        "images": "tuple[BentoImageInfo] - one image per platform.",
        "index": "File - the index, JSON.",
    },
)
