"""A `bento` command with packages of its own."""

BentoCommandInfo = provider(
    doc = "What a `bento` command imports beside what each has.",
    fields = {"modules": "depset[BentoWheelModulesInfo] - packages that speak to other places."},
)
