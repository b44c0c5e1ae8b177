"""The value of a build flag."""

BentoFlagInfo = provider(
    doc = "The value of a flag of the command line.",
    fields = {"value": "str - as the command line or the flag's default has it."},
)
