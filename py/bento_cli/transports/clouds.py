"""fsspec's interface of obstore for S3, Google Cloud Storage, and Azure, with the credentials of each cloud's tools.

obstore signs requests, sends parts in parallel, retries each part, and aborts failed uploads. An upload replaces the
object in one step.

- S3: botocore finds the credentials, region, and endpoint as the AWS CLI does. Without botocore, obstore reads only the
  environment and the metadata service of the machine.
- Google Cloud Storage: google-auth finds the application default credentials. Without google-auth, obstore reads key
  files and the metadata service. If STORAGE_EMULATOR_HOST is set, requests are sent to this emulator, unsigned.
- Azure: the variables of adlfs, as in BentoML. Without a key and a token, azure-identity finds the credentials. Without
  azure-identity, obstore finds them, but supports fewer sources. `az://CONTAINER@ACCOUNT.…/BLOB` specifies the account.
"""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from obstore.fsspec import FsspecStore
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterator

if TYPE_CHECKING:
    from bento_cli.transports.address import Address

CLIENT = {"connect_timeout": "10s", "read_timeout": "60s", "timeout": "600s", "user_agent": "rules_bento"}
PART = 8 << 20  # bytes of each part of an upload
_MAX_PARTS = 9_000  # S3's limit is 10,000
_PIECE = 1 << 20
_LEASE = timedelta(minutes=5)  # time after which botocore renews expired credentials
_EMULATED = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}


class ObjectStore(FsspecStore):  # type: ignore[misc]
    """A bucket or container. Unlike the base class, copies files in pieces, and reports the progress."""

    async def _put_file(self, lpath: str, rpath: str, callback: Callback = DEFAULT_CALLBACK, **_: Any) -> None:
        bucket, key = self._split_path(rpath)
        size = Path(lpath).stat().st_size
        callback.set_size(size)
        await self._construct_store(bucket).put_async(
            key,
            _pieces(lpath, callback),
            attributes={"Content-Type": "application/octet-stream"},
            use_multipart=size > PART,
            chunk_size=max(PART, -(-size // _MAX_PARTS)),
        )

    async def _get_file(self, rpath: str, lpath: str, callback: Callback = DEFAULT_CALLBACK, **_: Any) -> None:
        bucket, key = self._split_path(rpath)
        response = await self._construct_store(bucket).get_async(key)
        callback.set_size(response.meta["size"])
        with Path(lpath).open("wb") as file:  # writes: own, the caller's new file
            async for piece in response.stream(min_chunk_size=_PIECE):
                file.write(piece)
                callback.relative_update(len(piece))


def _pieces(path: str, callback: Callback) -> Iterator[bytes]:
    with Path(path).open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
            callback.relative_update(len(piece))


def open_store(address: Address) -> tuple[ObjectStore, str]:
    """Return the filesystem and the path of an address. Raises BentoError if the Azure account is unknown."""
    bucket, _, account = address.host.partition("@") if address.scheme == "az" else (address.host, "", "")
    if address.scheme == "az":
        options = azure_options(address, account)
    else:
        options = _s3_options() if address.scheme == "s3" else _google_options()
    client = {**CLIENT, "allow_http": True} if options.pop("allow_http", False) else CLIENT
    provider = options.pop("credential_provider", None)
    store = ObjectStore(
        address.scheme, config=options, client_options=client, credential_provider=provider, skip_instance_cache=True
    )
    return store, f"{bucket}/{address.path.lstrip('/')}"


def _s3_options() -> dict[str, Any]:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    # The server verifies the SHA-256 digest of each part.
    options: dict[str, Any] = {"checksum_algorithm": "sha256", **_endpoint(endpoint)}
    try:
        from botocore.session import Session
    except ImportError:
        return options
    session = Session()
    options |= {"region": session.get_config_variable("region") or "us-east-1"}
    options |= _endpoint(endpoint or session.get_scoped_config().get("endpoint_url"))
    credentials = session.get_credentials()
    if credentials is None:
        return {**options, "skip_signature": True}  # public objects can be read without credentials

    def provide() -> dict[str, Any]:
        now = credentials.get_frozen_credentials()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(timezone.utc) + _LEASE,
        }

    return {**options, "credential_provider": provide}


def _endpoint(url: str | None) -> dict[str, Any]:
    return {"endpoint": url, "allow_http": url.startswith("http:")} if url else {}


def _google_options() -> dict[str, Any]:
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "").rstrip("/")
    if emulator:
        url = emulator if "://" in emulator else f"http://{emulator}"
        key = json.dumps({"gcs_base_url": url, **_EMULATED})
        return {"service_account_key": key, "skip_signature": True, "allow_http": url.startswith("http:")}
    try:
        from google import auth
        from google.auth.exceptions import DefaultCredentialsError
        from obstore.auth.google import GoogleCredentialProvider
    except ImportError:
        return {}
    try:
        credentials, _ = auth.default(scopes=["https://www.googleapis.com/auth/devstorage.read_write"])
    except DefaultCredentialsError:
        return {"skip_signature": True}
    return {"credential_provider": GoogleCredentialProvider(credentials)}


def azure_options(address: Address, host: str = "") -> dict[str, Any]:
    """Return obstore's options for Azure from the environment: the account, the credentials, and the endpoint.

    If `host` is set, its first component is the account. Raises BentoError if the account is unknown.
    """
    text = os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    fields = dict(field.split("=", 1) for field in text.split(";") if "=" in field)
    names = {
        "account_name": ("AccountName", "ACCOUNT_NAME"),
        "account_key": ("AccountKey", "ACCOUNT_KEY"),
        "sas_key": ("SharedAccessSignature", "SAS_TOKEN"),
        "endpoint": ("BlobEndpoint", "ENDPOINT"),
    }
    found = {
        option: fields.get(field) or os.environ.get(f"AZURE_STORAGE_{variable}")
        for option, (field, variable) in names.items()
    }
    if not found["endpoint"] and fields.get("EndpointSuffix"):
        protocol = fields.get("DefaultEndpointsProtocol", "https")
        found["endpoint"] = f"{protocol}://{found['account_name']}.blob.{fields['EndpointSuffix']}"
    if host:
        found["account_name"] = host.partition(".")[0]
    options: dict[str, Any] = {option: value for option, value in found.items() if value}
    if "account_name" not in options:
        remedy = "Set AZURE_STORAGE_ACCOUNT_NAME or AZURE_STORAGE_CONNECTION_STRING."
        raise BentoError("the storage account is missing", place=str(address), remedy=remedy)
    options |= _endpoint(found["endpoint"])
    if options.keys() & {"account_key", "sas_key"}:
        return options
    try:
        from obstore.auth.azure import AzureCredentialProvider
    except ImportError:
        return {**options, "use_azure_cli": "AZURE_CLIENT_ID" not in os.environ}
    return {**options, "credential_provider": AzureCredentialProvider()}
