"""First-party Python sources of a closure."""

BentoSourcesInfo = provider(
    doc = "What a closure of Python libraries brings of its own, without its third-party packages.",
    fields = {
        "files": "depset[File] - sources and data.",
        "import_roots": "depset[str] - folders that are imported from, `<repository>/<folder>`.",
        "package_roots": "depset[str] - those of packages of hubs, whose files are left out.",
        "pins": "depset[str] - `name==version` of packages of rules_python's hubs that the closure depends on.",
        "requirements": "depset[BentoRequirementInfo] - packages of hubs that the closure depends on.",
    },
)
