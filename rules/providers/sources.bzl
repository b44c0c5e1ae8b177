"""First-party Python sources of a closure."""

BentoSourcesInfo = provider(
    doc = "What a closure of Python libraries brings of its own, without its third-party packages.",
    fields = {
        "files": "depset[File] - sources and data.",
        "import_roots": "depset[str] - folders that are imported from, `<repository>/<folder>`.",
        "package_roots": "depset[str] - those of packages of hubs, whose files are left out.",
        "pins": "depset[str] - packages that the closure depends on and that are of no hub of ours: `name==version` of rules_python's hubs, `name` of what generated code imports.",
        "requirements": "depset[BentoRequirementInfo] - packages of hubs that the closure depends on.",
    },
)
