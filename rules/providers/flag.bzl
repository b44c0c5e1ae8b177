"""The value of a build flag."""

BentoFlagInfo = provider(
    doc = "The value of a flag of the command line.",
    fields = {"value": "str | tuple[str] - as the command line or the flag's default has it; a tuple of what was given, for one that may be repeated."},
)
