"""Reads keys in the formats that cosign supports, and creates and verifies signatures with the keys.

Private keys are PEM files: encrypted in cosign's format (scrypt and NaCl's secretbox), or unencrypted in PKCS #8,
SEC 1, or PKCS #1. Keys sign SHA-256 digests with ECDSA (P-256) or RSA (PKCS #1 v1.5). Ed25519 and other curves
aren't supported, because `cosign verify` rejects signatures from such keys.
"""

from __future__ import annotations

import hashlib
import os
import re

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.errors import BentoError, missing_package
from rules_bento.base.formats.json import read_object
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable
from rules_bento.images import signing
from rules_bento.images.signing import from_base64, read_named, to_base64

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "COSIGN_PASSWORD"  # the environment variable with the password of an encrypted key, as for cosign
MAX_BYTES = 64 << 10  # the maximum size of a key and of a password
_ONLY = "Specify a file that contains only the key."
_ENCRYPTED = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
_PRIVATE = ("PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY")
_PUBLIC = ("PUBLIC KEY", "RSA PUBLIC KEY")
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,60})-----\s([^-]{0,65536})-----END \1-----")
_SCRYPT_N = (1 << 15, 1 << 16, 1 << 17)  # cosign's values
_SALT, _NONCE = (1, 1024), 24  # bytes
_RSA = (2048, 3072, 4096)  # bits, from sigstore's registry of algorithms
_ORIGINAL = "Use the original key file."


@dataclass(frozen=True)
class PublicKey:
    """A public key that verifies signatures made with the corresponding private key."""

    _key: Any = field(repr=False)
    origin: str
    _check_entry: Callable[..., None] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"the key {self.origin}"

    def verifies(self, signature: bytes, digest: bytes, material: Any = None) -> bool:
        """Return whether `signature` is valid for `digest`, the SHA-256 of a message.

        `material` is the verification material of a bundle, or None for a signature without a bundle. Raises
        SignatureError if the key requires a log entry and `material` doesn't contain a valid log entry.
        """
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, digest, *_algorithm(self._key))
        except InvalidSignature:
            return False
        if self._check_entry:
            self._check_entry(material, self.verifier(), digest, signature)
        return True

    def to_der(self) -> bytes:
        """Return the key in DER. Bundles identify a key by the SHA-256 of the DER."""
        from cryptography.hazmat.primitives import serialization

        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return bytes(self._key.public_bytes(serialization.Encoding.DER, form))

    def verifier(self) -> dict[str, Any]:
        """Return the key and its algorithm as a JSON object in the format of log entries."""
        size = self._key.key_size
        details = {256: "ECDSA_P256_SHA_256"}.get(size, f"RSA_PKCS1V15_{size}_SHA256")
        return {"publicKey": {"rawBytes": to_base64(self.to_der())}, "keyDetails": f"PKIX_{details}"}


@dataclass(frozen=True)
class PrivateKey:
    """A private key. `log` is the URL of the transparency log for bundles. If `log` is empty, bundles aren't logged."""

    _key: Any = field(repr=False)
    origin: str
    log: str = field(default="", repr=False)

    def sign(self, digest: bytes) -> bytes:
        """Return a signature of `digest`, the SHA-256 of a message."""
        signature: bytes = self._key.sign(digest, *_algorithm(self._key))
        return signature

    @property
    def public(self) -> PublicKey:
        """The public key that verifies signatures made with this key."""
        return PublicKey(self._key.public_key(), self.origin, signing.require_entry if self.log else None)


def read_public(name: str, directory: Path, check_entry: Callable[..., None] | None = None) -> PublicKey:
    """Read a public key. `name` is a path relative to `directory`, or `env://VARIABLE`.

    The function `check_entry`, if set, verifies the log entry of each signature. Raises BentoError for an invalid key.
    """
    kind, content, origin = _read(name, directory)
    if kind in (*_PRIVATE, *_ENCRYPTED):
        problem = "expected a public key, got a private key"
        raise BentoError(problem, place=origin, remedy="Use the public key, such as cosign.pub.")
    if kind not in _PUBLIC:
        problem = f"expected a public key in PEM format, got {kind!r}"
        raise BentoError(problem, place=origin, remedy="Export the public key with `cosign public-key`.")
    return PublicKey(
        _load(lambda serialization: serialization.load_pem_public_key(content), origin), origin, check_entry
    )


def read_private(name: str, directory: Path, password_file: str = "", trust_config: str = "") -> PrivateKey:
    """Read a private key. `name` is a path relative to `directory`, or `env://VARIABLE`.

    `trust_config` is the path of a client trust configuration. If `trust_config` is set, bundles contain an entry of a
    transparency log. Raises BentoError for an invalid key, an invalid configuration, or a wrong password.
    """
    kind, content, origin = _read(name, directory)
    if kind not in (*_PRIVATE, *_ENCRYPTED):
        remedy = "Use a key from `cosign generate-key-pair` or `cosign import-key-pair`, or an unencrypted PKCS #8 key."
        raise BentoError(f"expected a private key in PEM format, got {kind!r}", place=origin, remedy=remedy)
    if kind in _ENCRYPTED:
        opened = _decrypt(content, _password(directory, password_file, origin), origin)
        key = _load(lambda serialization: serialization.load_der_private_key(opened, None), origin)
    else:
        key = _load(lambda serialization: serialization.load_pem_private_key(content, None), origin)
    return PrivateKey(key, origin, signing.find_log(trust_config, directory) if trust_config else "")


def sha256_digest(message: bytes) -> bytes:
    """Return the SHA-256 of a message. Keys sign this digest instead of the message."""
    return hashlib.sha256(message).digest()


def _read(name: str, directory: Path) -> tuple[str, bytes, str]:
    """Read exactly one key. Returns its type, its PEM block, and `name`. Raises BentoError for any other content."""
    hint = ", or create keys with `cosign generate-key-pair`"
    content = read_named(name, directory, MAX_BYTES, _ONLY, hint)
    # openssl writes the parameters of the curve before the key.
    blocks = [match for match in _BLOCK.finditer(content) if not match[1].endswith(b"PARAMETERS")]
    if len(blocks) != 1:
        problem = f"expected one key in PEM format, got {len(blocks)}"
        raise BentoError(problem, place=name, remedy="Specify a file with one key.")
    return blocks[0][1].decode(), blocks[0][0] + b"\n", name


def _password(directory: Path, file: str, origin: str) -> bytes:
    if file:
        return read_named(file, directory, MAX_BYTES, _ONLY).removesuffix(b"\n").removesuffix(b"\r")
    password = os.environ.get(PASSWORD)
    if password is None:
        remedy = f"Set {PASSWORD} to the key's password (which can be empty), or specify a password file."
        raise BentoError("the key is encrypted", place=origin, remedy=remedy)
    return password.encode("utf-8", "surrogateescape")


def _decrypt(content: bytes, password: bytes, origin: str) -> bytes:
    """Decrypt a private key in cosign's PEM format to DER. Raises BentoError for a wrong password or an invalid key."""
    block = _BLOCK.search(content)
    body = from_base64(
        b"".join(block[2].split()).decode("ascii", "replace") if block else None, f"{origin}: the key", _ORIGINAL
    )
    document = read_object(body, origin)
    kdf, cipher = document.get("kdf"), document.get("cipher")
    if not isinstance(kdf, dict) or not isinstance(cipher, dict):
        problem = "the key's encryption parameters are missing"
        raise BentoError(problem, place=origin, remedy="Import the key again with `cosign import-key-pair`.")
    costs = [cost for cost in _SCRYPT_N if kdf.get("params") == {"N": cost, "r": 8, "p": 1}]
    if (kdf.get("name"), cipher.get("name")) != ("scrypt", "nacl/secretbox") or not costs:
        remedy = f"Expected scrypt (N {_SCRYPT_N[0]} to {_SCRYPT_N[-1]}, r 8, p 1) with nacl/secretbox. "
        remedy += "Import the key again with `cosign import-key-pair`."
        raise BentoError("unsupported encryption", place=origin, remedy=remedy)
    salt, nonce, ciphertext = (
        from_base64(where.get(name), f"{origin}: the {name}", _ORIGINAL)
        for where, name in ((kdf, "salt"), (cipher, "nonce"), (document, "ciphertext"))
    )
    if not _SALT[0] <= len(salt) <= _SALT[1] or len(nonce) != _NONCE:
        raise BentoError("the salt or nonce has an invalid length", place=origin, remedy=_ORIGINAL)
    try:
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
        from nacl.exceptions import CryptoError
        from nacl.secret import SecretBox
    except ImportError:
        raise missing_package("Signing", "cryptography", "pynacl") from None
    key = Scrypt(salt, 32, costs[0], 8, 1).derive(password)
    try:
        return bytes(SecretBox(key).decrypt(ciphertext, nonce))
    except CryptoError:
        problem = "wrong password or damaged key"
        raise BentoError(problem, place=origin, remedy=f"Check {PASSWORD} or the password file.") from None


def _load(load: Callable[[Any], Any], origin: str) -> Any:
    """Parse a key with the function `load`. Raises BentoError for an invalid or unsupported key."""
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        raise missing_package("Signing", "cryptography", "pynacl") from None
    try:
        key = load(serialization)
    except Exception as error:  # there is no common base class
        raise BentoError(f"invalid key ({type(error).__name__})", place=origin, remedy=_ORIGINAL) from None
    return _check_algorithm(key, origin)


def _check_algorithm(key: Any, origin: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(key, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)):
        if isinstance(key.curve, ec.SECP256R1):
            return key
        what = f"a key of the curve {key.curve.name}"
    elif isinstance(key, (rsa.RSAPrivateKey, rsa.RSAPublicKey)):
        if key.key_size in _RSA:
            return key
        what = f"an RSA key of {key.key_size} bits"
    else:
        what = type(key).__name__.strip("_").removesuffix("PrivateKey").removesuffix("PublicKey")
    remedy = (
        f"Use an ECDSA P-256 key (`cosign generate-key-pair`), or an RSA key of {' or '.join(map(str, _RSA))} bits."
    )
    raise BentoError(f"{what} isn't supported", place=origin, remedy=remedy)


def _algorithm(key: Any) -> tuple[Any, ...]:
    """Return the algorithm arguments for the `sign` and `verify` methods of a key."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

    prehashed = utils.Prehashed(hashes.SHA256())
    if isinstance(key, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)):
        return (ec.ECDSA(prehashed),)
    return padding.PKCS1v15(), prehashed
