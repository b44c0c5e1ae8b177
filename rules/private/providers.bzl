"""Providers between rules of rules_bento; the public ones are in //rules:providers.bzl."""

BentoCommandInfo = provider(
    doc = "Additional packages of a `bento` command.",
    fields = {"modules": "depset[BentoWheelModulesInfo] - packages for further transports."},
)

BentoCompilersInfo = provider(
    doc = "CPythons that compile bytecode for other Python versions than the toolchain's.",
    fields = {"pythons": "tuple[BentoPythonInfo] - interpreters that run in actions."},
)

BentoDebLockInfo = provider(
    doc = "The inputs of a lock of Debian packages.",
    fields = {
        "arguments": "tuple[str] - flags of the helper.",
        "update": "Label - target that writes the lock.",
    },
)

BentoFlagInfo = provider(
    doc = "The value of a build flag.",
    fields = {"value": "str | tuple[str] - value from the command line or the default; a tuple for a repeatable flag."},
)

BentoHelperPackagesInfo = provider(
    doc = "The third-party packages of the helper, ready to import.",
    fields = {
        "packages": "dict[str, list[struct]] - by package name: its wheels and those of its transitive dependencies, each in few files, as structs of `files` (depset of Files), `import_roots`, and `imports` (see BentoWheelModulesInfo).",
    },
)

BentoImagePackagesInfo = provider(
    doc = "The locked Python packages and the Debian packages of an image.",
    fields = {
        "debs": "list[File] - indexes of Debian packages, see BentoDebLayerInfo.index.",
        "packages": "depset[File] - JSON: lock entries.",
        "system": "File | None - JSON: packages of an existing image as the base, see BentoBaseInfo.",
        "wheels": "depset[BentoWheelInfo] - their wheels.",
    },
)

BentoPushInfo = provider(
    doc = "One push, for a program with several pushes.",
    fields = {
        "arguments": "tuple[str] - flags of the helper, with paths relative to the runfiles.",
        "modules": "tuple[BentoWheelModulesInfo] - packages that the helper imports.",
        "runfiles": "runfiles - files of the push, without its program.",
    },
)

BentoPythonInfo = provider(
    doc = "A CPython that runs actions or programs.",
    fields = {
        "files": "depset[File] - files of the interpreter; empty for one of the host.",
        "interpreter": "File | None - the interpreter, if it is a file of the build.",
        "interpreter_path": "str - absolute path of an interpreter of the host.",
        "version": "str - `X.Y.Z`; `X.Y` for a toolchain of rules_python.",
    },
)

BentoLockInfo = provider(
    doc = "The inputs of a lock of Python packages.",
    fields = {
        "arguments": "tuple[str] - flags of the helper, without those for the files.",
        "constraints": "tuple[File] - files that limit versions.",
        "overrides": "tuple[File] - files that replace the requirements of packages.",
        "sources": "tuple[File] - files with requirements.",
        "update": "Label - target that writes the lock.",
    },
)

BentoResolutionInfo = provider(
    doc = "The result of resolving one package of a lock with uv, shared by all targets that require it.",
    fields = {"answer": "File - JSON: pinned requirements of the package and its transitive dependencies."},
)

BentoServiceMetadataInfo = provider(
    doc = "The inputs of actions that import the service of a Bento, and build the Bento from the result.",
    fields = {
        "import_arguments": "Args - of the subcommand `import_service`, without packages and outputs.",
        "import_packages": "depset[BentoRequirementInfo] - packages of the Bento and of `import_packages`; in the configuration of an import, BentoML and `import_packages` have modules.",
        "import_inputs": "depset[File] - files in these arguments.",
        "package_arguments": "Args - of the subcommand `package` of the Bento's own action.",
        "package_inputs": "depset[File] - files in these arguments.",
        "package_packages": "list[str] - third-party packages that the subcommand `package` imports.",
    },
)

BentoSourcesInfo = provider(
    doc = "First-party files of Python libraries and their transitive dependencies.",
    fields = {
        "files": "depset[File] - sources and data.",
        "import_roots": "depset[str] - directories to import from, `<repository>/<directory>`.",
        "package_roots": "depset[str] - import directories of packages of package hubs, whose files are excluded.",
        "pins": "depset[str] - required packages outside of the package hubs of rules_bento: `name==version` from hubs of rules_python, `name` for imports of generated code.",
        "requirements": "depset[BentoRequirementInfo] - required packages of package hubs.",
    },
)

BentoWheelPartInfo = provider(
    doc = "The layer or layer part of a wheel in images, or of its bytecode if `//rules:bytecode` requests it.",
    fields = {
        "excluded": "File - JSON: size of the excluded files; None without exclude patterns.",
        "layer": "BentoLayerInfo - layer of only this wheel; None for a small wheel.",
        "layer_libraries": "File - JSON: content of `libraries`, written with `layer`; None without a layer.",
        "libraries": "File - JSON: shared libraries that the wheel has and needs, available first; None for bytecode.",
        "listing": "File - JSON: directories and files of the part.",
        "part": "File - the wheel's files as compressed tar members, from which layers are joined. None for bytecode without a matching interpreter.",
        "part_libraries": "File - JSON: content of `libraries`, written with `part`; None for bytecode.",
        "wheel": "BentoWheelInfo - the wheel.",
    },
)

BentoWheelPartsInfo = provider(
    doc = "The wheels of a package and its transitive dependencies, each converted once for all images.",
    fields = {"parts": "depset[BentoWheelPartInfo] - one for each wheel."},
)
