"""A group of options of a Bento."""

GROUPS = ["conda", "docker", "python"]

def _init(*, group, options):
    if group not in GROUPS:
        fail("BentoOptionsInfo: group is \"{}\", but groups are {}".format(group, ", ".join(GROUPS)))
    return {"group": group, "options": options}

BentoOptionsInfo, _new_options_info = provider(
    doc = "Options of one group of a bentofile, for `bento_package`.",
    fields = {
        "group": "str - `conda`, `docker` or `python`.",
        "options": "dict - by BentoML's names; what nobody set is not in it.",
    },
    init = _init,
)
