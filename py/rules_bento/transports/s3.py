"""S3 and what is compatible with it: `s3://BUCKET/KEY`.

Credentials, region and endpoint are those of the AWS command line: environment, profiles, single sign-on, roles of
containers and machines. botocore finds them; without it, obstore looks into the environment and asks the machine.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from functools import partial

from rules_bento.hints import TYPE_CHECKING, Any
from rules_bento.transports import object_store
from rules_bento.transports.s3_parts import Parts

if TYPE_CHECKING:
    from botocore.session import Session

    from rules_bento.net.transfers import Counter
    from rules_bento.transports.address import Address
    from rules_bento.transports.remote import Remote
    from rules_bento.transports.source import Source

_REMEDY = "Look at the credentials (`aws configure`, AWS_PROFILE) and the region (AWS_REGION)."
_LEASE = timedelta(minutes=5)  # then botocore is asked again, which renews what expires


class S3(object_store.ObjectStore):
    """Reads and writes an object; an interrupted upload in parts is resumed by the next run."""

    def __init__(self, address: Address, session: Session | None) -> None:
        kind = object_store.store_class("S3Store", "s3")
        options = _settings(session)
        endpoint = options.get("endpoint", "")
        make = partial(
            kind,
            address.host,
            # Each part travels with its own SHA-256, which the server holds it against.
            checksum_algorithm="sha256",
            client_options={**object_store.CLIENT, "allow_http": endpoint.startswith("http:")},
            **options,
        )
        super().__init__(address, lambda retries: make(retry_config=retries), _REMEDY)
        self._session = session
        self._options = options

    def write(self, source: Source, counter: Counter) -> None:
        size = object_store.part_size(source)
        if source.notes is None or self._session is None or source.size <= size:
            super().write(source, counter)
        else:
            Parts(self, self._client(), source, size, _REMEDY).run(source.notes, counter, object_store.UPLOADS)

    def _client(self) -> Any:
        from botocore import UNSIGNED
        from botocore.config import Config

        assert self._session
        endpoint = self._options.get("endpoint")
        config = Config(
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=object_store.UPLOADS,
            retries={"total_max_attempts": 1},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"} if endpoint else None,
            signature_version=UNSIGNED if self._options.get("skip_signature") else None,
        )
        region = self._options["region"]
        return self._session.create_client("s3", region_name=region, endpoint_url=endpoint, config=config)


def open(address: Address) -> Remote:  # noqa: A001 - each transport has it
    """Return a client for the address. Raises BentoError if its package or credentials are missing."""
    try:
        from botocore.session import Session
    except ImportError:
        return S3(address, None)
    return S3(address, Session())


def _settings(session: Session | None) -> dict[str, Any]:
    if session is None:
        return {"endpoint": _endpoint()} if _endpoint() else {}
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
