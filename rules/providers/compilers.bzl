"""The interpreters that make byte code."""

BentoCompilersInfo = provider(
    doc = "CPythons of the versions that images have, beside the toolchain's own.",
    fields = {
        "pythons": "tuple[BentoPythonInfo] - they run on the machine that runs actions.",
    },
)
