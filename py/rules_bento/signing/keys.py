"""Reads keys in the formats of cosign.

Private keys are PEM: cosign's own, encrypted with a password (scrypt, NaCl's secretbox), or unencrypted PKCS #8, SEC 1,
or PKCS #1. A key signs a SHA-256 by ECDSA on P-256, or by RSA with PKCS #1 v1.5. Ed25519 and other curves are rejected,
because `cosign verify` doesn't accept their signatures without the digest.
"""

from __future__ import annotations

import hashlib
import os
import re

from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.errors import BentoError
from rules_bento.formats.json import read_object
from rules_bento.signing import from_base64
from rules_bento.typing_lite import TYPE_CHECKING, Any, Callable, NoReturn

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "COSIGN_PASSWORD"  # the environment variable with the password of an encrypted key, as for cosign
MAX_BYTES = 64 << 10  # the maximum size of a key and of a password
_VARIABLE = "env://"
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
    """Verifies signatures of the matching private key."""

    _key: Any = field(repr=False)
    origin: str

    def __str__(self) -> str:
        return f"the key {self.origin}"

    def verifies(self, signature: bytes, digest: bytes) -> bool:
        """Return whether the signature is valid for the SHA-256 of a message."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, digest, *_algorithm(self._key))
        except InvalidSignature:
            return False
        return True

    def fingerprint(self) -> bytes:
        """Return the SHA-256 of the key, which identifies the key in bundles."""
        from cryptography.hazmat.primitives import serialization

        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return sha256_digest(self._key.public_bytes(serialization.Encoding.DER, form))


@dataclass(frozen=True)
class PrivateKey:
    """Signs digests. The repr omits the key."""

    _key: Any = field(repr=False)
    origin: str

    def sign(self, digest: bytes) -> bytes:
        """Sign the SHA-256 of a message."""
        signature: bytes = self._key.sign(digest, *_algorithm(self._key))
        return signature

    @property
    def public(self) -> PublicKey:
        """Return the public key."""
        return PublicKey(self._key.public_key(), self.origin)


def read_public(name: str, directory: Path) -> PublicKey:
    """Return the public key in a file below `directory`, or in the environment variable of `env://NAME`."""
    kind, content, origin = _read(name, directory)
    if kind in (*_PRIVATE, *_ENCRYPTED):
        raise BentoError(f"{origin}: expected a public key, got a private key. Use the public key, such as cosign.pub.")
    if kind not in _PUBLIC:
        raise BentoError(
            f"{origin}: expected a public key in PEM format, got {kind!r}. "
            "Export the public key with `cosign public-key`."
        )
    return PublicKey(_load(lambda serialization: serialization.load_pem_public_key(content), origin), origin)


def read_private(name: str, directory: Path, password_file: str = "") -> PrivateKey:
    """Return the private key in a file below `directory`, or in the environment variable of `env://NAME`."""
    kind, content, origin = _read(name, directory)
    if kind not in (*_PRIVATE, *_ENCRYPTED):
        raise BentoError(
            f"{origin}: expected a private key in PEM format, got {kind!r}. Use a key from `cosign generate-key-pair` "
            "or `cosign import-key-pair`, or an unencrypted PKCS #8 key."
        )
    if kind in _ENCRYPTED:
        opened = _decrypt(content, _password(directory, password_file, origin), origin)
        key = _load(lambda serialization: serialization.load_der_private_key(opened, None), origin)
    else:
        key = _load(lambda serialization: serialization.load_pem_private_key(content, None), origin)
    return PrivateKey(key, origin)


def sha256_digest(message: bytes) -> bytes:
    """Return the SHA-256 of a message, which a key signs."""
    return hashlib.sha256(message).digest()


def _read(name: str, directory: Path) -> tuple[str, bytes, str]:
    """Return the type and content of the only PEM key in a file or variable, and its name for messages."""
    if name.startswith(_VARIABLE):
        variable = name.removeprefix(_VARIABLE)
        content = os.environ.get(variable, "").encode("utf-8", "surrogateescape")
        if not content:
            raise BentoError(
                f"{name}: the variable isn't set. Set the variable to the key in PEM format, or specify a file."
            )
    else:
        content = _read_small(directory / name, name)
    # openssl writes the parameters of the curve before the key.
    blocks = [match for match in _BLOCK.finditer(content[:MAX_BYTES]) if not match[1].endswith(b"PARAMETERS")]
    if len(blocks) != 1:
        raise BentoError(f"{name}: expected one key in PEM format, got {len(blocks)}. Specify a file with one key.")
    return blocks[0][1].decode(), blocks[0][0] + b"\n", name


def _read_small(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except ValueError:
        raise BentoError(f"{name!r}: the path contains a NUL character. Remove the character.") from None
    except OSError as error:
        raise BentoError(f"{name}: cannot read the file: {error.strerror}. Check the path.") from None
    if len(content) > MAX_BYTES:
        raise BentoError(f"{name}: the file exceeds {MAX_BYTES} bytes. Specify a file that contains only the key.")
    return content


def _password(directory: Path, file: str, origin: str) -> bytes:
    if file:
        return _read_small(directory / file, file).removesuffix(b"\n").removesuffix(b"\r")
    password = os.environ.get(PASSWORD)
    if password is None:
        raise BentoError(
            f"{origin}: the key is encrypted. Set {PASSWORD} to the key's password (which can be empty), or specify a "
            "password file."
        )
    return password.encode("utf-8", "surrogateescape")


def _decrypt(content: bytes, password: bytes, origin: str) -> bytes:
    """Return the DER of a key in cosign's encrypted format: JSON with the parameters of the encryption."""
    block = _BLOCK.search(content)
    body = from_base64(
        b"".join(block[2].split()).decode("ascii", "replace") if block else None, f"{origin}: the key", _ORIGINAL
    )
    document = read_object(body, origin)
    kdf, cipher = document.get("kdf"), document.get("cipher")
    if not isinstance(kdf, dict) or not isinstance(cipher, dict):
        raise BentoError(
            f"{origin}: the key's encryption parameters are missing. Import the key again with `cosign "
            "import-key-pair`."
        )
    costs = [cost for cost in _SCRYPT_N if kdf.get("params") == {"N": cost, "r": 8, "p": 1}]
    if (kdf.get("name"), cipher.get("name")) != ("scrypt", "nacl/secretbox") or not costs:
        raise BentoError(
            f"{origin}: unsupported encryption. Expected scrypt (N {_SCRYPT_N[0]} to {_SCRYPT_N[-1]}, r 8, p 1) with "
            "nacl/secretbox. Import the key again with `cosign import-key-pair`."
        )
    salt, nonce, ciphertext = (
        from_base64(where.get(name), f"{origin}: the {name}", _ORIGINAL)
        for where, name in ((kdf, "salt"), (cipher, "nonce"), (document, "ciphertext"))
    )
    if not _SALT[0] <= len(salt) <= _SALT[1] or len(nonce) != _NONCE:
        raise BentoError(f"{origin}: the salt or nonce has an invalid length. {_ORIGINAL}")
    try:
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
    except ImportError:
        _raise_missing("cryptography")
    key = Scrypt(salt, 32, costs[0], 8, 1).derive(password)
    return _open_box(key, nonce, ciphertext, origin)


def _open_box(key: bytes, nonce: bytes, ciphertext: bytes, origin: str) -> bytes:
    try:
        from nacl.exceptions import CryptoError
        from nacl.secret import SecretBox
    except ImportError:
        _raise_missing("pynacl")
    try:
        return bytes(SecretBox(key).decrypt(ciphertext, nonce))
    except CryptoError:
        raise BentoError(f"{origin}: wrong password or damaged key. Check {PASSWORD}.") from None


def _load(load: Callable[[Any], Any], origin: str) -> Any:
    """Return the key that `load` reads with the package cryptography. Rejects unsupported algorithms."""
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        _raise_missing("cryptography")
    try:
        key = load(serialization)
    except Exception as error:  # there is no common base class
        raise BentoError(f"{origin}: invalid key ({type(error).__name__}). {_ORIGINAL}") from None
    return _check_algorithm(key, origin)


def _raise_missing(package: str) -> NoReturn:
    raise BentoError(
        f"signatures require the package {package}. Run `pip install 'rules-bento[signing]'`. With Bazel, use "
        "@rules_bento//tools:bento_with_transports, or set signed = True in bento_push."
    )


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
    raise BentoError(
        f"{origin}: {what} isn't supported. Use an ECDSA P-256 key (`cosign generate-key-pair`), or an RSA key of "
        f"{' or '.join(map(str, _RSA))} bits."
    )


def _algorithm(key: Any) -> tuple[Any, ...]:
    """Return the arguments of a key's `sign` and `verify` that follow the digest."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

    prehashed = utils.Prehashed(hashes.SHA256())
    if isinstance(key, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)):
        return (ec.ECDSA(prehashed),)
    return padding.PKCS1v15(), prehashed
