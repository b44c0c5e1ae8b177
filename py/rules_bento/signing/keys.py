"""Keys, in the forms that cosign writes and reads.

Private keys are PEM: cosign's own, encrypted by a password (scrypt, NaCl's secretbox), or unencrypted PKCS #8, SEC 1 or
PKCS #1. What is signed is a SHA-256, by ECDSA on P-256, or by RSA with PKCS #1 v1.5. Ed25519 and other curves are
refused: what cosign signs with these its own `verify` does not take, unless told of the digest.
"""

from __future__ import annotations

import hashlib
import os
import re

from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.errors import BentoError
from rules_bento.formats.json import read_object
from rules_bento.signing import from_base64
from rules_bento.typing_lite import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "COSIGN_PASSWORD"
"""The environment variable with the password of an encrypted key, as for cosign."""

MAX_BYTES = 64 << 10
"""Of a key, and of a password."""

_VARIABLE = "env://"
_ENCRYPTED = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
_PRIVATE = ("PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY")
_PUBLIC = ("PUBLIC KEY", "RSA PUBLIC KEY")
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,60})-----\s([^-]{0,65536})-----END \1-----")
_SCRYPT_N = (1 << 15, 1 << 16, 1 << 17)  # N of scrypt, the ones that cosign takes
_SALT, _NONCE = (1, 1024), 24  # bytes
_RSA = (2048, 3072, 4096)  # bits, those of sigstore's registry of algorithms


@dataclass(frozen=True)
class PublicKey:
    """Verifies signatures of its private key."""

    _key: Any = field(repr=False)
    origin: str

    def verifies(self, signature: bytes, digest: bytes) -> bool:
        """Return whether the signature is this key's of a message with that SHA-256."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, digest, *_algorithm(self._key))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class PrivateKey:
    """Signs digests. No repr shows the key."""

    _key: Any = field(repr=False)
    origin: str

    def sign(self, digest: bytes) -> bytes:
        """Return a signature of the message with that SHA-256."""
        signature: bytes = self._key.sign(digest, *_algorithm(self._key))
        return signature

    @property
    def public(self) -> PublicKey:
        """Return the key that verifies."""
        return PublicKey(self._key.public_key(), self.origin)


def read_public(name: str, folder: Path) -> PublicKey:
    """Return the public key in a file, below `folder`, or in the variable that `env://NAME` names.

    Raises BentoError for what is none, or one of a kind that is not known here.
    """
    kind, content, origin = _read(name, folder)
    if kind in (*_PRIVATE, *_ENCRYPTED):
        raise BentoError(f"{origin}: is a private key. To verify, the public one is enough: cosign.pub.")
    if kind not in _PUBLIC:
        raise BentoError(f"{origin}: is {kind!r}, where a public key in PEM belongs, as `cosign public-key` prints it.")
    serialization = _serialization()
    try:
        key = serialization.load_pem_public_key(content)
    except Exception as error:  # it names no common type
        _raise_invalid(origin, error)
    return PublicKey(_check_algorithm(key, origin), origin)


def read_private(name: str, folder: Path, password_file: str = "") -> PrivateKey:
    """Return the private key in a file, below `folder`, or in the variable that `env://NAME` names.

    Raises BentoError for what is none, for one of a kind that is not known here, and for a wrong password.
    """
    kind, content, origin = _read(name, folder)
    serialization = _serialization()
    if kind not in (*_PRIVATE, *_ENCRYPTED):
        raise BentoError(
            f"{origin}: is {kind!r}, where a private key in PEM belongs: cosign's (`cosign generate-key-pair`, "
            f"`cosign import-key-pair`), or PKCS #8 without a password."
        )
    try:
        if kind in _ENCRYPTED:
            opened = _decrypt(content, _password(folder, password_file, origin), origin)
            key = serialization.load_der_private_key(opened, None)
        else:
            key = serialization.load_pem_private_key(content, None)
    except BentoError:
        raise
    except Exception as error:  # it names no common type
        _raise_invalid(origin, error)
    return PrivateKey(_check_algorithm(key, origin), origin)


def sha256_digest(message: bytes) -> bytes:
    """Return what is signed of a message: its SHA-256."""
    return hashlib.sha256(message).digest()


def _read(name: str, folder: Path) -> tuple[str, bytes, str]:
    """Return the kind of the one key in PEM that a file or a variable has, its lines, and what it is called."""
    if name.startswith(_VARIABLE):
        variable = name.removeprefix(_VARIABLE)
        content = os.environ.get(variable, "").encode("utf-8", "surrogateescape")
        if not content:
            raise BentoError(f"{name}: this variable is not set. Set it to the key, in PEM, or name a file.")
    else:
        content = _read_small(folder / name, name)
    # openssl writes the parameters of a curve before the key.
    blocks = [match for match in _BLOCK.finditer(content[:MAX_BYTES]) if not match[1].endswith(b"PARAMETERS")]
    if len(blocks) != 1:
        raise BentoError(f"{name}: has {len(blocks) or 'no'} keys in PEM, one is wanted. Give the file of one key.")
    return blocks[0][1].decode(), blocks[0][0] + b"\n", name


def _read_small(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BentoError(f"{name}: cannot be read: {error.strerror}.") from None
    if len(content) > MAX_BYTES:
        raise BentoError(f"{name}: has more than {MAX_BYTES} bytes. Give the file of one key.")
    return content


def _password(folder: Path, file: str, origin: str) -> bytes:
    """Return the password, without the line break that may end its file."""
    if file:
        return _read_small(folder / file, file).removesuffix(b"\n").removesuffix(b"\r")
    password = os.environ.get(PASSWORD)
    if password is None:
        raise BentoError(
            f"{origin}: is encrypted. Set {PASSWORD} to its password (to nothing, if it has an empty one), or name a "
            f"file with it."
        )
    return password.encode("utf-8", "surrogateescape")


def _decrypt(content: bytes, password: bytes, origin: str) -> bytes:
    """Return the DER of cosign's encrypted form: JSON that says by what it was encrypted."""
    block = _BLOCK.search(content)
    body = from_base64(b"".join(block[2].split()).decode("ascii", "replace") if block else None, f"{origin}: the key")
    document = read_object(body, origin)
    kdf, cipher = document.get("kdf"), document.get("cipher")
    if not isinstance(kdf, dict) or not isinstance(cipher, dict):
        raise BentoError(
            f"{origin}: the encryption isn't specified. Encrypt the key again with `cosign import-key-pair`."
        )
    costs = [cost for cost in _SCRYPT_N if kdf.get("params") == {"N": cost, "r": 8, "p": 1}]
    if (kdf.get("name"), cipher.get("name")) != ("scrypt", "nacl/secretbox") or not costs:
        raise BentoError(
            f"{origin}: unsupported encryption. Expected cosign's (scrypt, N {_SCRYPT_N[0]} to {_SCRYPT_N[-1]}, r 8, "
            "p 1; nacl/secretbox). Encrypt it again with `cosign import-key-pair`."
        )
    salt, nonce, ciphertext = (
        from_base64(where.get(name), f"{origin}: its {name}")
        for where, name in ((kdf, "salt"), (cipher, "nonce"), (document, "ciphertext"))
    )
    if not _SALT[0] <= len(salt) <= _SALT[1] or len(nonce) != _NONCE:
        raise BentoError(f"{origin}: its salt or nonce is not of a length that cosign writes. Give the key as it was.")
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

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
        raise BentoError(f"{origin}: the password does not open it, or it was changed. Check {PASSWORD}.") from None


def _serialization() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        _raise_missing("cryptography")
    return serialization


def _raise_missing(package: str) -> NoReturn:
    raise BentoError(
        f"signatures need the package {package}: pip install 'rules-bento[signing]'; with Bazel, run "
        f"@rules_bento//tools:bento_with_transports, or set signed = True of the bento_push."
    )


def _check_algorithm(key: Any, origin: str) -> Any:
    """Return the key, if it is of a kind that is known here."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(key, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)):
        if isinstance(key.curve, ec.SECP256R1):
            return key
        what = f"one of the curve {key.curve.name}"
    elif isinstance(key, (rsa.RSAPrivateKey, rsa.RSAPublicKey)):
        if key.key_size in _RSA:
            return key
        what = f"one of RSA with {key.key_size} bits"
    else:
        what = type(key).__name__.strip("_").removesuffix("PrivateKey").removesuffix("PublicKey")
    raise BentoError(
        f"{origin}: is {what}. Known are ECDSA on P-256, which `cosign generate-key-pair` makes, and RSA with "
        f"{', '.join(map(str, _RSA))} bits."
    )


def _algorithm(key: Any) -> tuple[Any, ...]:
    """Return what `sign` and `verify` of a key take beside the digest."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

    prehashed = utils.Prehashed(hashes.SHA256())
    if isinstance(key, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)):
        return (ec.ECDSA(prehashed),)
    return padding.PKCS1v15(), prehashed


def _raise_invalid(origin: str, error: Exception) -> NoReturn:
    raise BentoError(f"{origin}: cannot be read as a key ({type(error).__name__}). Give the file as cosign wrote it.")
