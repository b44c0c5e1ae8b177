"""The API of a service."""

BentoApiInfo = provider(
    doc = "What importing a service says of its API.",
    fields = {
        "openapi": "File - YAML: the OpenAPI specification, as BentoML writes it to apis/openapi.yaml.",
        "schema": "File - JSON: BentoML's own schema, as it writes it to apis/schema.json.",
    },
)
