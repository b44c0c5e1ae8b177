"""Defines the private providers. The public providers are in //rules:providers.bzl."""

BentoCompilersInfo = provider(
    doc = "A CPython interpreter that compiles bytecode for a Python version.",
    fields = {
        "pythons": "tuple[BentoPythonInfo] - the interpreter, which runs on the execution platform; empty for the " +
                   "toolchain's interpreter.",
    },
)

BentoHelperPackagesInfo = provider(
    doc = "Third-party packages that the helper imports. The helper is the program that actions of rules_bento run.",
    fields = {
        "packages": "dict[str, list[struct]] - package name to the packed wheels of the package and its transitive " +
                    "dependencies. Each struct has `files` (depset of Files), `import_roots`, and `imports` (see " +
                    "BentoWheelModulesInfo).",
    },
)

BentoInstalledWheelInfo = provider(
    doc = "Packages from package hubs of rules_python.",
    fields = {
        "requirement": "BentoRequirementInfo | None - the package, if the target is one; None for other targets.",
        "requirements": "depset[BentoRequirementInfo] - the package or, for other targets, the packages that the " +
                        "target's libraries require.",
        "unknown": "depset[Label] - targets with the tags of a package of rules_python, but without its files in a " +
                   "known layout.",
        "wheel": "BentoWheelInfo | None - wheel that an action builds from the files of the package; None for " +
                 "targets without these files.",
    },
)

BentoPushInfo = provider(
    doc = "The settings and files of a push. `bento_push_all` runs several pushes together.",
    fields = {
        "arguments": "tuple[str] - flags to pass to the helper. Paths are relative to the runfiles directory.",
        "modules": "tuple[BentoWheelModulesInfo] - packages that the helper imports.",
        "runfiles": "runfiles - files to push, without the program that pushes the files.",
    },
)

BentoPythonInfo = provider(
    doc = "A CPython interpreter that runs build actions, or programs of `bazel run` and `bazel test`.",
    fields = {
        "files": "depset[File] - files of the interpreter; empty for an interpreter of the host.",
        "interpreter": "File | None - executable of the interpreter; None for an interpreter of the host.",
        "interpreter_path": "str - absolute path of an interpreter of the host; empty if `interpreter` is set.",
        "version": "str - version of the interpreter (`X.Y.Z`), or `X.Y` for an interpreter of rules_python.",
    },
)

BentoRequirementFilesInfo = provider(
    doc = "The files of a locked package and its transitive dependencies, which depend on the configuration (see " +
          "//rules:wheels).",
    fields = {
        "modules": "depset[BentoWheelModulesInfo] - unpacked modules.",
        "sources": "depset[File] - Python modules among the files in `modules`.",
        "wheels": "depset[BentoWheelInfo] - wheels.",
    },
)

BentoResolutionInfo = provider(
    doc = "The result of resolving one locked package with uv. All targets that require the package share the result.",
    fields = {"answer": "File - JSON: pinned requirements of the package and its transitive dependencies."},
)

BentoSourcesInfo = provider(
    doc = "The first-party files of Python libraries and their transitive dependencies.",
    fields = {
        "files": "depset[File] - sources and data of the libraries.",
        "links": "depset[struct] - files of the libraries at other paths, such as launchers of programs: `file`, " +
                 "`image_file` (the file in a `python_image`), and `short_path`.",
        "package_roots": "depset[str] - import roots of packages from package hubs. Files in these directories are " +
                         "excluded.",
        "pins": "depset[str] - required packages that don't come from package hubs of rules_bento: `name==version` " +
                "from hubs of rules_python, or `name` for imports of generated code.",
        "problems": "depset[str] - reasons why the libraries can't be in a Bento.",
        "programs": "depset[struct] - Python programs that runfiles of the target can contain: `executable` (File), " +
                    "`main` (see `main_of`, or None), `launcher` (item of `links`, or None), `roots` (import path), " +
                    "`runfiles` (depset[File]), and `sources` (BentoSourcesInfo without `programs`).",
        "requirements": "depset[BentoRequirementInfo] - required packages from package hubs of rules_bento.",
    },
)

BentoWheelPartInfo, _ = provider(
    doc = "The image layer of a wheel, or a layer part. Actions join several layer parts to a layer.",
    fields = {
        "bytecode": "tuple[BentoWheelPartInfo] - the wheel's bytecode, for each mode in `BYTECODES`; empty without " +
                    "an interpreter of the wheel's version.",
        "compiler": "BentoPythonInfo - interpreter that compiles `bytecode`; None without one of the wheel's version.",
        "excluded": "File - JSON: size of the files that images exclude from the wheel; None without exclusion " +
                    "patterns.",
        "layer": "BentoLayerInfo - layer that contains only this wheel; None for a small wheel.",
        "layer_libraries": "File - JSON: same content as `libraries`, but written by the action of `layer`; None " +
                           "without a layer.",
        "libraries": "File - JSON: shared libraries that the wheel includes and requires. The action that writes " +
                     "this file doesn't build the layer or part.",
        "listing": "File - JSON: directories and files in the part.",
        "part": "File - files of the wheel as compressed tar entries. Actions join several parts to a layer.",
        "part_libraries": "File - JSON: same content as `libraries`, but written by the action of `part`.",
        "wheel": "BentoWheelInfo - wheel from which the part is built.",
    },
    # The defaults apply to bytecode.
    init = lambda **values: {
        "bytecode": (),
        "compiler": None,
        "excluded": None,
        "layer": None,
        "layer_libraries": None,
        "libraries": None,
        "part_libraries": None,
    } | values,
)

BentoWheelPartsInfo = provider(
    doc = "Layer parts for the wheels of a package and its transitive dependencies. All images share the parts.",
    fields = {"parts": "depset[BentoWheelPartInfo] - parts, one part for each wheel."},
)
