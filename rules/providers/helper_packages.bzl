"""The packages that the helper's verbs import."""

BentoHelperPackagesInfo = provider(
    doc = "The third-party packages of the helper, ready to import.",
    fields = {
        "packages": "dict[str, list[struct]] - by name of a package: the wheels of its closure, each in few files: `files` (depset of Files), `import_roots` and `imports`, as BentoWheelModulesInfo has them.",
    },
)
