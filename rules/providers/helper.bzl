"""The program that actions run."""

BentoHelperInfo = provider(
    doc = "The helper, ready to run.",
    fields = {
        "packages": "dict[str, list[BentoWheelModulesInfo]] - by name of a package: the modules of its closure.",
        "program": "File - the helper as one file, which the interpreter runs.",
    },
)
