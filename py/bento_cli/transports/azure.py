"""Blobs of Azure: `az://CONTAINER/BLOB` (abfs and abfss are the same), or `az://CONTAINER@ACCOUNT.…/BLOB`.

The variables are those of adlfs, which BentoML uses: AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME
with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN. Without a key or token there, azure-identity goes through its
chain, if it is installed, else obstore through a shorter one.
"""

from __future__ import annotations

import os
from datetime import datetime, timezone
from functools import partial

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any

from bento_cli.transports import object_store

if TYPE_CHECKING:
    from bento_cli.transports.address import Address
    from bento_cli.transports.remote import Remote

_REMEDY = "Look at the credentials (`az login`, AZURE_STORAGE_CONNECTION_STRING), and at the roles that they have."
_PREFIX = "AZURE_STORAGE_"


def open(address: Address) -> Remote:  # noqa: A001 - each transport has it
    """Return a client for the address. Raises BentoError if its package is missing, or nothing names the account."""
    kind = object_store.store_class("AzureStore", "azure")
    container, _, host = address.host.partition("@")
    options = _settings()
    if host:
        options["account_name"] = host.partition(".")[0]
    if "account_name" not in options:
        raise BentoError(
            f"{address}: no storage account. Set AZURE_STORAGE_ACCOUNT_NAME or AZURE_STORAGE_CONNECTION_STRING."
        )
    if not options.keys() & {"account_key", "sas_key"}:
        options |= _chain()
    allow_http = str(options.get("endpoint", "")).startswith("http:")
    make = partial(kind, container, client_options={**object_store.CLIENT, "allow_http": allow_http}, **options)
    return object_store.ObjectStore(address, lambda retries: make(retry_config=retries), _REMEDY)


def _settings() -> dict[str, Any]:
    """Read account, key or signature, and endpoint from the environment."""
    text = os.environ.get(f"{_PREFIX}CONNECTION_STRING", "")
    fields = dict(field.split("=", 1) for field in text.split(";") if "=" in field)
    names = {
        "account_name": ("AccountName", "ACCOUNT_NAME"),
        "account_key": ("AccountKey", "ACCOUNT_KEY"),
        "sas_key": ("SharedAccessSignature", "SAS_TOKEN"),
        "endpoint": ("BlobEndpoint", "ENDPOINT"),
    }
    settings = {
        option: fields.get(field) or os.environ.get(f"{_PREFIX}{variable}")
        for option, (field, variable) in names.items()
    }
    if "account_name" in settings and not settings["endpoint"] and fields.get("EndpointSuffix"):
        protocol = fields.get("DefaultEndpointsProtocol", "https")
        settings["endpoint"] = f"{protocol}://{settings['account_name']}.blob.{fields['EndpointSuffix']}"
    return {option: value for option, value in settings.items() if value}


def _chain() -> dict[str, Any]:
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError:
        return {"use_azure_cli": "AZURE_CLIENT_ID" not in os.environ}
    credential = DefaultAzureCredential()

    def provide() -> dict[str, Any]:
        token = credential.get_token("https://storage.azure.com/.default")
        return {"token": token.token, "expires_at": datetime.fromtimestamp(token.expires_on, timezone.utc)}

    return {"credential_provider": provide}
