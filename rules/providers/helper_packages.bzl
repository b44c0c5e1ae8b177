"""The packages that the helper's verbs import."""

BentoHelperPackagesInfo = provider(
    doc = "The third-party packages of the helper, ready to import.",
    fields = {
        "packages": "dict[str, list[BentoWheelModulesInfo]] - by name of a package: the modules of its closure.",
        "packed": "dict[str, list[struct]] - the same in few files, for actions: `files` (list of Files) and `import_roots` as those of BentoWheelModulesInfo.",
    },
)
