"""Defines the public providers. To use a provider, load it with `load("@rules_bento//rules:providers.bzl", ...)`."""

def _typed_provider(name, *, doc, fields, defaults = {}):
    """Defines a provider that verifies the names and types of its fields.

    Fields are required unless they have a value in `defaults`.

    Args:
      name: name of the provider.
      doc: documentation of the provider.
      fields: dict of name to a tuple of type (such as `File | None`, or `tuple[str]`, whose items aren't verified) and
        documentation.
      defaults: dict of name to value.

    Returns:
      The provider.
    """
    names = {"None": "NoneType", "str": "string"}
    types = {
        field: [names.get(kind, kind) for kind in kinds.partition("[")[0].split(" | ")]
        for field, (kinds, _) in fields.items()
    }
    fields = {field: " - ".join(description) for field, description in fields.items()}

    def init(**values):
        values = defaults | values
        for field in values:
            if field not in types:
                fail("{}: unknown field {}. Valid fields: {}.".format(name, field, ", ".join(types)))
        for field, allowed in types.items():
            if field not in values:
                fail("{}: missing field {}. Set the field: {}".format(name, field, fields[field]))
            if type(values[field]) not in allowed:
                fail("{}: field {}: expected type {}, got {} of type {}. Set the field: {}".format(
                    name,
                    field,
                    " or ".join(allowed),
                    repr(values[field]),
                    type(values[field]),
                    fields[field],
                ))
        return values

    provider_type, _ = provider(doc = doc, fields = fields, init = init)
    return provider_type

BentoInfo = _typed_provider(
    "BentoInfo",
    doc = "A Bento: metadata, and the parts from which rules build archives and images.",
    fields = {
        "archive": (
            "File",
            "`.bento` archive with all models. The default output of the target is this archive if `bundle_models` " +
            "is `True`.",
        ),
        "bento_yaml": ("File", "YAML: `bento.yaml` of the Bento."),
        "build_ctx": ("str", "source directory of the Bento's `src/`, a short path."),
        "build_definition": (
            "File",
            "JSON: `buildDefinition` of SLSA provenance, which lists the inputs of the Bento.",
        ),
        "data_layers": (
            "dict[str, BentoLayerInfo]",
            "image layers of `data`, compression to layer; empty without data.",
        ),
        "digest": ("File", "text: digest of the content, `blake3:<hex>`."),
        "import_roots": (
            "depset[str]",
            "import roots that the Bento's libraries declare with `imports`, each `<repository>/<directory>`.",
        ),
        "imports": (
            "File",
            "JSON: modules that the service certainly imports, and that packages or the base must provide.",
        ),
        "manifest": (
            "File",
            "JSON: path, size, mode, and BLAKE3 digest of each file, and the CPU architecture of files with " +
            "machine code. Excludes files of models.",
        ),
        "models": ("depset[BentoModelInfo]", "models that the Bento requires."),
        "parts": (
            "tuple[File]",
            "archive parts, in this order: environment and metadata; sources; data, if the Bento has data.",
        ),
        "platform": ("str", "target platform (`<os>_<machine>`); empty if package hubs don't support the platform."),
        "python_version": ("str", "target Python version (`X.Y`)."),
        "requested_platform": ("str", "value of the attribute `platform`; empty if the attribute isn't set."),
        "requirements": (
            "depset[BentoRequirementInfo]",
            "packages from a package hub that the Bento declares. The wheels are set only if the configuration " +
            "includes wheels.",
        ),
        "tag": ("File", "text: tag of the Bento, `<name>:<version>`."),
    },
)

BentoModelInfo = _typed_provider(
    "BentoModelInfo",
    doc = "A model. Bazel builds a model only once for all Bentos that require the model.",
    fields = {
        "alias": ("str", "alternative name that `bentoml.models.get` accepts; empty without an alternative name."),
        "archive_part": ("File", "archive part with the model's files, below `models/<name>/<version>/`."),
        "description": ("File", "JSON: tag, module, labels, creation time, digest, and size."),
        "layers": (
            "dict[str, tuple[BentoLayerInfo]]",
            "image layers of the model, compression to layers. The layers of weights are below the layer of the " +
            "other files.",
        ),
        "manifest": ("File", "JSON: path, size, mode, and BLAKE3 digest of each file."),
        "sources": (
            "struct",
            "the model's files and their metadata, for layers at other paths: description, files (empty for an " +
            "archive), image_layers, manifest, model_yaml, name, and place (flags of actions).",
        ),
    },
)

BentoRequirementInfo = _typed_provider(
    "BentoRequirementInfo",
    doc = "A locked package and its transitive dependencies, for one platform and one Python version.",
    defaults = {"glibc": "", "is_installed": False, "modules": depset(), "platform": "", "vendored": depset()},
    fields = {
        "distribution": (
            "str",
            "normalized package name (PEP 503). If the package is required with an extra, the extra follows in " +
            "brackets.",
        ),
        "glibc": ("str", "newest glibc version that Linux wheels can require (`X.Y`)."),
        "is_installed": (
            "bool",
            "whether the package is from a package hub of rules_python. The lock entries then contain no hashes.",
        ),
        "modules": (
            "depset[BentoWheelModulesInfo]",
            "modules of the package and its transitive dependencies; empty if the configuration excludes modules.",
        ),
        "packages": ("depset[File]", "JSON: lock entries of the package and its transitive dependencies."),
        "platform": (
            "str",
            "target platform (`<os>_<machine>`); empty for a wheel that requires no packages from a package hub.",
        ),
        "python_version": ("str", "Python version (`X.Y[.Z]`); empty if `platform` is empty."),
        "vendored": (
            "depset[File]",
            "wheels that Bentos include because no package index provides the wheels. Covers the package and its " +
            "transitive dependencies.",
        ),
        "wheels": (
            "depset[BentoWheelInfo]",
            "wheels of the package and its transitive dependencies; empty if the configuration excludes wheels.",
        ),
    },
)

BentoWheelInfo = _typed_provider(
    "BentoWheelInfo",
    doc = "A wheel from a lock, or a wheel that the build produces.",
    defaults = {"allow_record_mismatch": False, "exclude": (), "exclude_preset": (), "sha256": ""},
    fields = {
        "allow_record_mismatch": (
            "bool",
            "whether the wheel can be installed in images even if its RECORD file is incorrect.",
        ),
        "distribution": ("str", "normalized name of the package (PEP 503)."),
        "exclude": (
            "tuple[str]",
            "patterns of wheel files that images exclude (`exclude` of `bento.pypi`). Each pattern must match a file.",
        ),
        "exclude_preset": (
            "tuple[str]",
            "exclusion patterns that come from presets (`exclude_presets` of `bento.pypi`). A pattern can match no " +
            "file.",
        ),
        "file": ("File", "the wheel file."),
        "python_version": ("str", "target Python version (`X.Y`)."),
        "sha256": ("str", "SHA-256 of the file in the lock, hexadecimal; empty for a wheel that the build writes."),
        "size": ("int", "size of the file in bytes."),
        "version": ("str", "version of the package."),
    },
)

BentoWheelModulesInfo = _typed_provider(
    "BentoWheelModulesInfo",
    doc = "The unpacked modules of a wheel. Programs can import the modules.",
    fields = {
        "distribution": ("str", "normalized name of the package (PEP 503)."),
        "files": ("depset[File]", "unpacked files of the wheel."),
        "import_roots": (
            "tuple[str|File]",
            "directories to add to the Python import path: paths relative to the execution root, or output " +
            "directories of actions.",
        ),
        "imports": (
            "tuple[str]",
            "directories of `import_roots` in the format of `PyInfo.imports`, each `<repository>/<directory>`.",
        ),
        "version": ("str", "version of the package."),
        "wheel": ("File", "the wheel file."),
    },
)

BentoDebInfo = _typed_provider(
    "BentoDebInfo",
    doc = "A locked Debian package and its transitive dependencies, for one CPU architecture.",
    fields = {
        "architecture": ("str", "CPU architecture: `amd64` or `arm64`."),
        "files": ("depset[File]", "Debian packages (.deb files) of the package and its transitive dependencies."),
        "glibc": ("str", "version of glibc among the packages (`X.Y`); empty if the packages don't include glibc."),
        "hub": ("str", "name of the package hub that `bento_files.apt` declares."),
        "python_version": (
            "str",
            "version of Python among the packages (`X.Y.Z`); empty if the packages don't include Python.",
        ),
    },
)

BentoLayerInfo = _typed_provider(
    "BentoLayerInfo",
    doc = "An image layer: the file and its description. Actions that write image manifests read the description, " +
          "but not the file.",
    defaults = {"origin": "", "recipe": None, "wheel": None, "ztoc": None},
    fields = {
        "blob": (
            "File | None",
            "the layer: a tar file, usually compressed. None if the build doesn't fetch the layer from the registry.",
        ),
        "description": (
            "File",
            "JSON: media_type, digest (`sha256:<hex>`), size and uncompressed_size (bytes), diff_id, name, and " +
            "optional annotations of the descriptor.",
        ),
        "origin": (
            "str",
            "repository that contains the layer (`registry/repository`); empty for a layer that the build writes, " +
            "or that is only on this machine.",
        ),
        "recipe": (
            "File | None",
            "ranges of `wheel`, and the bytes between them, from which programs assemble the layer; None if an " +
            "action writes the layer directly.",
        ),
        "wheel": ("File | None", "wheel for `recipe`; None without a recipe."),
        "ztoc": (
            "struct | None",
            "index of the layer for SOCI: file, and description (JSON: OCI descriptor, and the spans of small " +
            "files); None if the build doesn't write a gzip layer.",
        ),
    },
)

BentoBaseInfo = _typed_provider(
    "BentoBaseInfo",
    doc = "An image base: the layers, and the properties on which a Python service depends.",
    defaults = {"architecture": "", "env": {}, "hub": "", "python_release": ""},
    fields = {
        "architecture": (
            "str",
            "CPU architecture of Debian packages: `amd64` or `arm64`; empty if the packages are unknown.",
        ),
        "config": (
            "File",
            "JSON: architecture, os, variant, and env (object). For an existing image, also history, digest, and " +
            "origin (`registry/repository`).",
        ),
        "deb_index": (
            "File | None",
            "JSON: installed Debian packages, dpkg status, and paths, which a `bento_base` above reads; None if " +
            "the packages are unknown.",
        ),
        "env": (
            "dict[str, str]",
            "environment variables that a `bento_base` above inherits; empty if the packages are unknown.",
        ),
        "glibc": ("str", "version of glibc (`X.Y`); empty if unknown."),
        "hub": (
            "str",
            "name of the package hub (`bento_files.apt`) that provides the packages of the lowest layer; empty if " +
            "the packages are unknown.",
        ),
        "layers": ("tuple[BentoLayerInfo]", "layers from the lowest up."),
        "libraries": (
            "File | None",
            "JSON: file names of the shared libraries; None if `deb_index` lists the libraries, or if the " +
            "libraries are unknown.",
        ),
        "name": ("str", "label of the base, which error messages show."),
        "python": ("str", "absolute path of the Python interpreter."),
        "python_release": ("str", "exact version of the Python interpreter (`X.Y.Z`); empty if unknown."),
        "python_version": ("str", "version of the Python interpreter (`X.Y`)."),
        "system": (
            "File | None",
            "JSON: distribution and packages of an existing image; None if `deb_index` lists the packages, or if " +
            "the packages are unknown.",
        ),
    },
)

BentoImageInfo = _typed_provider(
    "BentoImageInfo",
    doc = "An image: config, manifest, and layers.",
    defaults = {"index": None, "soci": None},
    fields = {
        "bento_yaml": ("File | None", "`bento.yaml` of the Bento in the image; None for an image without a Bento."),
        "build_definition": (
            "File | None",
            "JSON: `buildDefinition` of SLSA provenance, which lists the inputs of the image; None for a model image.",
        ),
        "config": ("File", "JSON: config of the image."),
        "digest": (
            "File",
            "text: digest of the manifest or, if set, of the index (`sha256:<hex>`). Identifies the image.",
        ),
        "index": ("File | None", "JSON: OCI index that lists the image and its SOCI index; None without `soci`."),
        "layers": ("tuple[BentoLayerInfo]", "layers from the lowest up."),
        "manifest": ("File", "JSON: manifest of the image."),
        "referrers": (
            "tuple[struct(file: File, media_type: str)]",
            "artifacts to push with the image, such as the SBOM.",
        ),
        "soci": ("File | None", "JSON: manifest of the SOCI index, and small blobs; None without `soci`."),
    },
)

BentoImageIndexInfo = _typed_provider(
    "BentoImageIndexInfo",
    doc = "An OCI image index, which lists images of a service for several platforms.",
    fields = {
        "digest": ("File", "text: digest of the index (`sha256:<hex>`). Identifies the index."),
        "images": ("tuple[BentoImageInfo]", "images, one image for each platform."),
        "index": ("File", "JSON: image index."),
    },
)
