"""Client for objects in S3 (`s3://BUCKET/KEY`) and Azure (`az://CONTAINER/BLOB`), based on obstore.

obstore signs requests, sends parts in parallel, retries each part, and aborts failed uploads. `download.py` resumes
interrupted reads.

For S3, botocore finds the credentials, region, and endpoint as the AWS CLI does: in the environment, in profiles, from
single sign-on, and from the roles of containers and machines. If botocore isn't installed, obstore reads only the
environment and the metadata service of the machine.

Azure uses the variables of adlfs, as BentoML does: AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME with
AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN. If neither a key nor a token is set, azure-identity finds the
credentials. If azure-identity isn't installed, obstore finds the credentials, but supports fewer sources. `abfs` and
`abfss` are aliases of `az`, and `az://CONTAINER@ACCOUNT.…/BLOB` specifies the account.
"""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta, timezone
from functools import partial

from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError
from rules_bento.typing_lite import TYPE_CHECKING, Any, Callable, Iterator

from bento_cli.transports.remote import ChangedError, Remote, Stat, needs

if TYPE_CHECKING:
    from rules_bento.net.transfers import Counter

    from bento_cli.transports.address import Address
    from bento_cli.transports.remote import Buffer
    from bento_cli.transports.source import Source

PART = 8 << 20
_MAX_PARTS = 9_000  # S3's limit is 10,000
_UPLOADS = 6  # number of parallel parts, which are kept in memory
_PIECE = 1 << 20
_LEASE = timedelta(minutes=5)  # time after which botocore renews expired credentials

BACKOFF = {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=5), "base": 2}
_READ_RETRIES, _WRITE_RETRIES = 1, 6  # retries in obstore; `download.py` retries reads itself
CLIENT = {"connect_timeout": "10s", "read_timeout": "60s", "timeout": "600s", "user_agent": "rules_bento"}
_S3_REMEDY = "Check the credentials (`aws configure`, AWS_PROFILE) and the region (AWS_REGION)."
_AZURE_REMEDY = "Check the credentials (`az login`, AZURE_STORAGE_CONNECTION_STRING) and the roles of the account."


def open(address: Address) -> Remote:  # noqa: A001 - the name is the same in all transports
    """Return a client for an address. Raises BentoError if obstore isn't installed or the Azure account is unknown."""
    try:
        from obstore import store as stores
    except ImportError:
        raise needs("obstore", address.scheme) from None
    if address.scheme == "az":
        container, _, host = address.host.partition("@")
        options = azure_options(address, host)
        make, remedy = partial(stores.AzureStore, container), _AZURE_REMEDY
    else:
        options = _s3_options()
        # The server verifies the SHA-256 digest of each part.
        make, remedy = partial(stores.S3Store, address.host, checksum_algorithm="sha256"), _S3_REMEDY
    client = {**CLIENT, "allow_http": options.get("endpoint", "").startswith("http:")}
    make = partial(make, client_options=client, **options)
    return ObjectStore(address, lambda retries: make(retry_config=retries), remedy)


class ObjectStore(Remote):
    """Client for one object in a bucket or container."""

    parallel = 4

    def __init__(self, address: Address, make: Callable[[dict[str, Any]], Any], remedy: str) -> None:
        """Create a client. `make` returns obstore's client for a retry configuration. Some errors end with `remedy`."""
        super().__init__(address)
        self._make = make
        self._store = make(_retries(_READ_RETRIES))
        self._remedy = remedy
        self._key = address.path.lstrip("/")

    def stat(self) -> Stat:
        import obstore

        try:
            head = obstore.head(self._store, self._key)
            version = head["e_tag"] or ""
            if not head["size"]:
                return Stat(0, version)
            # `head` doesn't return the metadata of an upload, so a byte is fetched with it.
            options = {"range": (0, 1), "if_match": version} if version else {"range": (0, 1)}
            sha256 = obstore.get(self._store, self._key, options=options).attributes.get("sha256")
        except Exception as error:
            failure = self._failure(error)
            raise (
                ConnectionLostError("the object changed during the transfer")
                if isinstance(failure, ChangedError)
                else failure
            ) from None
        return Stat(head["size"], version, {"sha256": sha256} if sha256 else {})

    def read(self, stat: Stat, start: int, end: int | None) -> Iterator[Buffer]:
        import obstore

        options: dict[str, Any] = {"range": (start, end if end is not None else stat.size)}
        if stat.version:
            options["if_match"] = stat.version
        try:
            for piece in obstore.get(self._store, self._key, options=options).stream(min_chunk_size=_PIECE):
                yield memoryview(piece)
        except GeneratorExit:
            raise
        except Exception as error:
            raise self._failure(error) from None

    def write(self, source: Source, counter: Counter) -> None:
        import obstore

        def parts() -> Iterator[bytes]:
            for piece in source.pieces():
                counter.advance(len(piece))
                yield piece

        try:
            obstore.put(
                self._make(_retries(_WRITE_RETRIES)),
                self._key,
                parts(),
                attributes={"Content-Type": "application/octet-stream", "sha256": source.sha256},
                use_multipart=source.size > PART,
                chunk_size=max(PART, -(-source.size // _MAX_PARTS)),
                max_concurrency=_UPLOADS,
            )
        except Exception as error:
            failure = self._failure(error)
            raise (self.unreachable(failure) if isinstance(failure, ConnectionLostError) else failure) from None
        stat = self.attempt(self.stat)
        if stat.size != source.size:
            raise BentoError(f"{self.address}: uploaded only {stat.size} of {source.size} bytes. Run the export again.")

    def _failure(self, error: Exception) -> BaseException:
        from obstore import exceptions

        reason = _first_line(error)
        if isinstance(error, FileNotFoundError | exceptions.NotFoundError):
            # The error codes for a missing bucket or container of S3 and Azure.
            if "NoSuchBucket" in str(error) or "ContainerNotFound" in str(error):
                return self.refused(f"{self.address.host!r} doesn't exist", "Check the spelling, or create the bucket.")
            return self.missing()
        if isinstance(error, exceptions.PreconditionError):
            return ChangedError()
        if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
            return self.refused(reason, self._remedy)
        if isinstance(error, exceptions.BaseError) and not _final(str(error)):
            return ConnectionLostError(reason)
        if isinstance(error, exceptions.BaseError):
            return self.refused(reason, self._remedy)
        return error


def _retries(count: int) -> dict[str, Any]:
    return {"max_retries": count, "backoff": BACKOFF, "retry_timeout": timedelta(seconds=120)}


def _final(reason: str) -> bool:
    """Return whether an error message reports a permanent error: invalid credentials, or a permanent HTTP status."""
    match = re.search(r"status code: (\d{3})", reason)
    return bool(match and match[1][0] in "34" and match[1] not in ("408", "429")) or "credential" in reason.lower()


def _first_line(error: Exception) -> str:
    """Return the first line of an error, without the queries of signed URLs. Appends the error code, if any."""
    line = str(error).partition("\n")[0]
    line = re.sub(r"<\?xml.*", "", line)
    line = re.sub(r" in [0-9.]+\w+, after .*?retry_timeout: \w+ +", " ", line)
    line = re.sub(r"(https?://[^\s?]*)\?\S*", r"\1", line)
    code = re.search(r"<Code>(\w+)</Code>", str(error))
    return line.strip(" :") + (f" ({code[1]})" if code else "")


def _s3_options() -> dict[str, Any]:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    try:
        from botocore.session import Session
    except ImportError:
        return {"endpoint": endpoint} if endpoint else {}
    session = Session()
    options: dict[str, Any] = {"region": session.get_config_variable("region") or "us-east-1"}
    endpoint = endpoint or session.get_scoped_config().get("endpoint_url")
    if endpoint:
        options["endpoint"] = endpoint
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
        raise BentoError(
            f"{address}: the storage account is missing. Set AZURE_STORAGE_ACCOUNT_NAME or "
            "AZURE_STORAGE_CONNECTION_STRING."
        )
    if options.keys() & {"account_key", "sas_key"}:
        return options
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError:
        return {**options, "use_azure_cli": "AZURE_CLIENT_ID" not in os.environ}
    credential = DefaultAzureCredential()

    def provide() -> dict[str, Any]:
        token = credential.get_token("https://storage.azure.com/.default")
        return {"token": token.token, "expires_at": datetime.fromtimestamp(token.expires_on, timezone.utc)}

    return {**options, "credential_provider": provide}
