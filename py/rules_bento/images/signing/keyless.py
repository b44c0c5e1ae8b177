"""Signs and verifies data with certificates for OpenID Connect (OIDC) identities, like keyless signing in cosign.

To sign, the optional package sigstore requests a certificate from Fulcio, timestamps from timestamp authorities, and an
entry in the Rekor transparency log. To verify, sigstore uses the bundle and the trusted root, and makes no network
request.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path

from rules_bento.base import private
from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.errors import BentoError, missing_package
from rules_bento.base.formats import MAX_BYTES, decode_text
from rules_bento.base.formats.json import read_object
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterator
from rules_bento.images.signing import SignatureError, read_named, require_entry, to_base64

if TYPE_CHECKING:
    from datetime import datetime

_STATEMENT = "application/vnd.in-toto+json"
_MAX_STAMPS = 32  # timestamps of a bundle, as in sigstore
_MAX_REASON = 300  # characters of a reason, which can contain values of an untrusted certificate


@dataclass(frozen=True)
class Identity:
    """Verifies signatures made by one identity: an email address or a URI that an OIDC issuer confirms."""

    name: str
    issuer: str
    _trusted_root: Any = field(repr=False)

    def __str__(self) -> str:
        return f"the identity {self.name} of {self.issuer}"

    def open_bundle(self, content: bytes) -> bytes:
        """Return the in-toto statement in a bundle. Raises SignatureError unless the identity signed the statement."""
        kind, statement = self._verify(content, lambda verifier, *rest: verifier.verify_dsse(*rest))
        if kind != _STATEMENT:
            raise SignatureError("the envelope isn't a signed in-toto statement")
        return bytes(statement)

    def check_digest(self, content: bytes, digest: bytes) -> None:
        """Raise SignatureError unless a bundle contains the identity's signature of `digest`, the SHA-256 of a file."""
        self._verify(content, lambda verifier, *rest: verifier.verify_artifact(_hashed(digest), *rest))

    def _verify(self, content: bytes, verify: Callable[..., Any]) -> Any:
        from sigstore.models import Bundle
        from sigstore.verify import Verifier, policy

        expected = policy.AllOf([policy.Identity(identity=self.name), policy.OIDCIssuerV2(self.issuer)])
        try:
            bundle, verifier = Bundle.from_json(content), Verifier(trusted_root=self._trusted_root)
            verify(verifier, bundle, expected)
            # sigstore accepts retired authorities and logs, whose keys might have been stolen.
            valid = _valid_at(self._trusted_root, private.bundle_times(verifier, bundle))
            return verify(Verifier(trusted_root=valid), bundle, expected)
        except Exception as error:  # parts of the bundle are parsed late, by several packages
            raise SignatureError(f"the bundle has no valid signature by {self}: {_reason(error)}") from None


def _valid_at(root: Any, times: list[datetime]) -> Any:
    """Return a trusted root with only the certificate authorities and logs that are valid at all `times`."""
    from sigstore.models import TrustedRoot

    def valid(services: list[Any], period: Callable[[Any], Any]) -> list[Any]:
        def is_valid(service: Any) -> bool:
            valid_for = period(service)
            return valid_for is None or all(
                valid_for.start <= time and (valid_for.end is None or time <= valid_for.end) for time in times
            )

        return [service for service in services if is_valid(service)]

    inner = private.trusted_root_model(root)
    update = {name: valid(getattr(inner, name), lambda log: log.public_key.valid_for) for name in ("tlogs", "ctlogs")}
    update["certificate_authorities"] = valid(inner.certificate_authorities, lambda authority: authority.valid_for)
    return TrustedRoot(inner.model_copy(update=update))


def _timestamps(root: Any, material: dict[str, Any], signature: bytes) -> list[datetime]:
    """Return the verified times of a signature, or the current time if the bundle has no timestamp."""
    from datetime import datetime, timezone

    from sigstore.models import TimestampVerificationData
    from sigstore.verify import Verifier

    data = TimestampVerificationData.from_json(json.dumps(material.get("timestampVerificationData") or {}))
    verifier = Verifier(trusted_root=root)
    stamps = data.rfc3161_timestamps[:_MAX_STAMPS]
    times = [private.timestamp_time(verifier, stamp, signature) for stamp in stamps]
    return [time for time in times if time] or [datetime.now(timezone.utc)]


class IdentitySigner:
    """Signs with certificates for the identity in an OIDC token."""

    def __init__(self, token: str = "", trust_config: str = "", directory: str = "") -> None:
        """Read an OIDC token, and the client trust configuration of sigstore services.

        `token` and `trust_config` are paths relative to `directory`, or `env://NAME`. By default, uses the CI system's
        token, and sigstore's public services. Raises BentoError for a missing or invalid token or configuration.
        """
        with _errors(token or "OIDC token", "Request a new token for the audience sigstore."):
            from sigstore import oidc, sign

            raw = _read(token, directory).strip() if token else oidc.detect_credential()
            if raw is None:
                problem = "no OIDC token found in the CI environment"
                raise BentoError(problem, place="--identity-token", remedy="Specify a file that contains a token.")
            self._token = oidc.IdentityToken(raw)
        with _errors(trust_config or "sigstore", "Check the connection, or specify a client trust configuration."):
            config = _trust_config(trust_config, directory)
            self._context = sign.SigningContext.from_trust_config(config)
        self._signer: Any = None
        self.public = Identity(self._token.identity, self._token.federated_issuer, config.trusted_root)

    def sign_statement(self, statement: bytes) -> bytes:
        """Sign an in-toto statement, and return the bundle. Raises BentoError if a service fails."""
        from sigstore.dsse import Statement

        return self._sign(lambda signer: signer.sign_dsse(Statement(statement)))

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign the SHA-256 of a file, and return the bundle. Raises BentoError if a service fails."""
        return self._sign(lambda signer: signer.sign_artifact(_hashed(digest)))

    def _sign(self, sign: Callable[[Any], Any]) -> bytes:
        from sigstore.sign import Signer

        with _errors("keyless signing", "Check the token, and the connection to the services, and sign again."):
            # One certificate is valid for several signatures.
            self._signer = self._signer or Signer(self._token, self._context)
            return str(sign(self._signer).to_json()).encode()


def read_trusted_root(file: Path | None) -> Any:
    """Read a trusted root. If `file` is None, downloads the trusted root of sigstore's public services with TUF.

    Raises BentoError for an invalid file, or if the download fails.
    """
    with _errors(str(file or "sigstore"), "Specify a trusted root from `cosign trusted-root create`."):
        from sigstore.models import TrustedRoot

        return TrustedRoot.from_file(str(file)) if file else _trust_config("").trusted_root


def entry_check(trusted_root: Path | None) -> Callable[..., None]:
    """Return the `check_entry` function for `read_public`. `read_trusted_root` describes the argument and errors."""
    root = read_trusted_root(trusted_root)

    def check(material: Any, verifier: dict[str, Any], digest: bytes, signature: bytes) -> None:
        require_entry(material)
        signed = {"content": to_base64(signature), "verifier": verifier}
        record = {"data": {"algorithm": "SHA2_256", "digest": to_base64(digest)}, "signature": signed}
        expected = {"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": record}}
        try:
            from sigstore.models import TransparencyLogEntry
            from sigstore_models.rekor.v1 import TransparencyLogEntry as Entry

            [entry] = (Entry.from_dict(item) for item in material["tlogEntries"])
            valid = _valid_at(root, _timestamps(root, material, signature))
            private.verify_log_entry(TransparencyLogEntry(entry), valid)
            actual = read_object(entry.canonicalized_body, "the log entry")
        except Exception as error:  # as for bundles of identities
            raise SignatureError(f"the transparency log entry is invalid: {_reason(error)}") from None
        if actual != expected:
            remedy = "Sign the artifact again."
            raise SignatureError("the transparency log entry belongs to a different signature", remedy=remedy)

    return check


def _trust_config(name: str, directory: str = "") -> Any:
    from sigstore.models import ClientTrustConfig

    return ClientTrustConfig.from_json(_read(name, directory)) if name else ClientTrustConfig.production()


def _read(name: str, directory: str) -> str:
    return decode_text(read_named(name, Path(directory), MAX_BYTES, "Specify another file."), name)


def _hashed(digest: bytes) -> Any:
    from sigstore.hashes import HashAlgorithm, Hashed

    return Hashed(algorithm=HashAlgorithm.SHA2_256, digest=digest)


@contextmanager
def _errors(where: str, remedy: str) -> Iterator[None]:
    """Convert errors of sigstore and its dependencies to BentoError."""
    try:
        yield
    except BentoError:
        raise
    except ImportError:
        raise missing_package("A keyless signature", "sigstore") from None
    except Exception as error:
        raise BentoError(_reason(error), place=where, remedy=remedy) from None


def _reason(error: BaseException) -> str:
    """Return the first line of an error's message. For an empty message, uses the message of the error's cause."""
    while not str(error) and error.__cause__:
        error = error.__cause__
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0][:_MAX_REASON].rstrip(".")
