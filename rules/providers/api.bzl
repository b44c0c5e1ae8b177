"""The API of a service."""

load("//rules/private:checked.bzl", "checked")

_FIELDS = {
    "openapi": "File - YAML: the OpenAPI specification, as BentoML writes it to apis/openapi.yaml.",
    "schema": "File - JSON: BentoML's own schema, as it writes it to apis/schema.json.",
}

BentoApiInfo, _new_api_info = provider(
    doc = "What importing a service says of its API.",
    fields = _FIELDS,
    init = checked("BentoApiInfo", _FIELDS),
)
