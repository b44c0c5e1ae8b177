"""What it takes to import the service of a Bento."""

BentoServiceMetadataInfo = provider(
    doc = "How actions import the service of a Bento, and put the Bento together of what that tells.",
    fields = {
        "import_arguments": "Args - of the verb `facts`, without packages and outputs.",
        "import_packages": "depset[BentoRequirementInfo] - those of the Bento and of `import_packages`; where the configuration is for an import, BentoML and the latter have their modules.",
        "import_inputs": "depset[File] - what they name.",
        "package_arguments": "Args - of the verb `package`, as the Bento was built.",
        "package_inputs": "depset[File] - what they name.",
        "package_packages": "list[str] - names of the third-party packages that the verb imports.",
    },
)
