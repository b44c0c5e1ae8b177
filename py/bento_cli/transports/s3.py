"""S3 and what is compatible with it: `s3://BUCKET/KEY`.

Credentials, region and endpoint are those of the AWS command line: environment, profiles, single sign-on, roles of
containers and machines. botocore finds them; without it, obstore looks into the environment and asks the machine.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from functools import partial

from rules_bento.typing_lite import TYPE_CHECKING, Any

from bento_cli.transports import object_store

if TYPE_CHECKING:
    from bento_cli.transports.address import Address
    from bento_cli.transports.remote import Remote

_REMEDY = "Look at the credentials (`aws configure`, AWS_PROFILE) and the region (AWS_REGION)."
_LEASE = timedelta(minutes=5)  # then botocore is asked again, which renews what expires


def open(address: Address) -> Remote:  # noqa: A001 - each transport has it
    """Return a client for the address. Raises BentoError if its package is missing."""
    kind = object_store.store_class("S3Store", "s3")
    options = _settings()
    make = partial(
        kind,
        address.host,
        # Each part travels with its own SHA-256, which the server holds it against.
        checksum_algorithm="sha256",
        client_options={**object_store.CLIENT, "allow_http": options.get("endpoint", "").startswith("http:")},
        **options,
    )
    return object_store.ObjectStore(address, lambda retries: make(retry_config=retries), _REMEDY)


def _settings() -> dict[str, Any]:
    try:
        from botocore.session import Session
    except ImportError:
        return {"endpoint": _endpoint()} if _endpoint() else {}
    session = Session()
    settings: dict[str, Any] = {"region": session.get_config_variable("region") or "us-east-1"}
    endpoint = _endpoint() or session.get_scoped_config().get("endpoint_url")
    if endpoint:
        settings["endpoint"] = endpoint
    credentials = session.get_credentials()
    if credentials is None:
        settings["skip_signature"] = True  # what is public can be read
        return settings

    def provide() -> dict[str, Any]:
        now = credentials.get_frozen_credentials()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(timezone.utc) + _LEASE,
        }

    return {**settings, "credential_provider": provide}


def _endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
